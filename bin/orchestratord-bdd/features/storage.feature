Feature: Storage
  A disk that is full or fails is told, and takes nothing back.

  @ORCH-3401 @ORCH-3405
  Scenario: Without room tasks are refused, and room heals it
    Given a state folder on a small disk that is nearly full
    And an engine a
    And engine a will say "held" and stay
    And a server with
      | ORCHD_ADMISSION_CAPACITY | 1000 |
    When I submit task A
    And engine a is busy with 1 task
    And I submit tasks until one is refused
    Then the answer is 503 with code STORAGE_UNAVAILABLE
    And the answer has
      | retriable | true |
    When the small disk has room again
    And I cancel task A
    And I run task B
    Then task B becomes completed
    And every task that was accepted becomes completed

  @ORCH-3407
  Scenario: A flush that fails ends the process, and nothing that was accepted is lost
    Given a server whose disk will fail
    When I submit tasks until one is refused
    Then the server ends as a failure
    When the server starts again
    Then every task that was accepted is there
