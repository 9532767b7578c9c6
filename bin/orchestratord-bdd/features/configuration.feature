Feature: Configuration
  Nothing starts with a fault in it, and a fault is told by its place.

  Scenario Outline: A wrong setting refuses the start and is named
    Given a server that does not start with
      | <variable> | <value> |
    Then its exit code is 78
    And it says "<told>"

    Examples:
      | variable                 | value              | told                         |
      | ORCHD_ADMISSION_CAPACITY | many               | ORCHD_ADMISSION_CAPACITY     |
      | ORCHD_ADMISSION_POLICY   | maybe              | ORCHD_ADMISSION_POLICY       |
      | ORCHD_ADMISION_POLICY    | reject             | ORCHD_ADMISSION_POLICY       |
      | ORCHD_POOLS              | a=llamacpp         | ORCHD_POOLS                  |
      | ORCHD_GPU_POLICY         | cpu                | ORCHD_GPU_POLICY             |
      | ORCHD_CONFIG             | /no/such/file.toml | ORCHD_CONFIG                 |

  Scenario: An unknown key of the file is named with the one that was probably meant
    Given the file "wrong.toml" with
      """
      [admission]
      capcity = 3
      """
    And a server that does not start with
      | ORCHD_CONFIG | {folder}/wrong.toml |
    Then its exit code is 78
    And it says "capcity"
    And it says "capacity"

  Scenario: The environment wins over the file
    Given an engine a
    And engine a will say "held" and stay
    And the file "right.toml" with
      """
      [admission]
      capacity = 50
      [[pools]]
      id = "a"
      engine = "llamacpp"
      endpoint = "{engine a}"
      """
    And a server with
      | ORCHD_CONFIG             | {folder}/right.toml |
      | ORCHD_ADMISSION_CAPACITY | 1                   |
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B
    And I try to submit a task
    Then the answer is 429

  Scenario: Without a configured pool a mock serves, and the start says so
    Given a server
    Then the log soon has a line with
      | level | warn                                |
      | msg   | starts with no pool is configured   |
    When I run task A of 3 tokens
    Then task A becomes completed
