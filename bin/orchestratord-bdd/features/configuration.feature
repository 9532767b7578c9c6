Feature: Configuration
  Nothing starts with a fault in it, and a fault is told by its place.

  @ORCH-3321
  Scenario Outline: A wrong setting refuses the start and is named
    Given a server that does not start with
      | <setting> | <value> |
    Then its exit code is 78
    And it says "<told>"

    Examples:
      | setting                  | value              | told                     |
      | ORCHD_ADMISSION_CAPACITY | many               | ORCHD_ADMISSION_CAPACITY |
      | ORCHD_ADMISSION_POLICY   | maybe              | ORCHD_ADMISSION_POLICY   |
      | ORCHD_POOLS              | a=llamacpp         | ORCHD_POOLS              |
      | ORCHD_GPU_POLICY         | cpu                | ORCHD_GPU_POLICY         |
      | ORCHD_CONFIG             | /no/such/file.toml | ORCHD_CONFIG             |
      | --admission-capacity     | -1                 | --admission-capacity     |

  @ORCH-3321
  Scenario: A value that another layer wins over is checked all the same
    Given the file "wrong.toml" with
      """
      [admission]
      capacity = -3
      """
    And a server that does not start with
      | ORCHD_CONFIG             | {folder}/wrong.toml |
      | ORCHD_ADMISSION_CAPACITY | 5                   |
    Then its exit code is 78
    And it says "admission.capacity"

  @ORCH-3322
  Scenario: All faults are told together, each with its place
    Given the file "wrong.toml" with
      """
      gpu_policy = "cpu"
      """
    And a server that does not start with
      | ORCHD_CONFIG             | {folder}/wrong.toml |
      | ORCHD_ADMISSION_CAPACITY | many                |
      | --sessions-turns-max     | none                |
    Then its exit code is 78
    And it says "gpu_policy"
    And it says "ORCHD_ADMISSION_CAPACITY"
    And it says "--sessions-turns-max"

  @ORCH-3323
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

  @ORCH-3323
  Scenario Outline: An unknown flag or variable is named with the one that was probably meant
    Given a server that does not start with
      | <unknown> | 5 |
    Then its exit code is 78
    And it says "<unknown>"
    And it says "<meant>"

    Examples:
      | unknown                 | meant                    |
      | ORCHD_ADMISION_CAPACITY | ORCHD_ADMISSION_CAPACITY |
      | --admision-capacity     | --admission-capacity     |

  @ORCH-3324
  Scenario: A secret has no flag, and no fault repeats one
    Given a server that does not start with
      | --api-token | a-secret-that-nobody-sees-in-full |
    Then its exit code is 78
    And it does not say "nobody-sees"

  @ORCH-3324
  Scenario: A fault does not repeat the address of an engine
    Given a server that does not start with
      | ORCHD_POOLS | a=llamacpp+http://me:hush@10.1.2.3:1/x?y |
    Then its exit code is 78
    And it does not say "hush"
    And it does not say "10.1.2.3"

  @ORCH-3329 @ORCH-3327
  Scenario: A value in the file has the type of its setting
    Given the file "wrong.toml" with
      """
      [admission]
      capacity = "3"
      """
    And a server that does not start with
      | ORCHD_CONFIG | {folder}/wrong.toml |
    Then its exit code is 78
    And it says "admission.capacity"

  @ORCH-3329
  Scenario: A token file holds a token on each line, and a bad line is named by its number
    Given the file "good" with
      """
      0123456789abcdef0123456789abcdef
      fedcba9876543210fedcba9876543210
      """
    And the file "bad" with
      """
      0123456789abcdef0123456789abcdef
      short
      """
    And a server with
      | LLORCH_API_TOKEN_FILE | {folder}/good |
    When I hold the token "fedcba9876543210fedcba9876543210"
    And I get "/v2/tasks"
    Then the answer is 200
    Given a server that does not start with
      | LLORCH_API_TOKEN_FILE | {folder}/bad |
    Then its exit code is 78
    And it says "line 2"
    And it does not say "short"

  @ORCH-3320
  Scenario Outline: A flag wins over the environment, and that over the file
    Given an engine a
    And engine a will say "held" and stay
    And the file "layers.toml" with
      """
      [admission]
      capacity = 50
      [[pools]]
      id = "a"
      engine = "llamacpp"
      endpoint = "{engine a}"
      """
    And a server with
      | ORCHD_CONFIG | {folder}/layers.toml |
      | <higher>     | 1                    |
      | <lower>      | <loses>              |
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B
    And I try to submit a task
    Then the answer is 429

    Examples:
      | higher                   | lower                    | loses                |
      | ORCHD_ADMISSION_CAPACITY | ORCHD_CONFIG             | {folder}/layers.toml |
      | --admission-capacity     | ORCHD_ADMISSION_CAPACITY | 50                   |

  Scenario: Without a configured pool a mock serves, and the start says so
    Given a server
    Then the log soon has a line with
      | level | warn                              |
      | msg   | starts with no pool is configured |
    When I run task A of 3 tokens
    Then task A becomes completed
