Feature: Waiting
  A queue is bounded, fair, and honest about how long it takes.

  Background:
    Given an engine a
    And engine a will say "held" and stay

  @ORCH-3004
  Scenario: Interactive tasks go first, and each class in its order
    Given a server
    When I submit task A with
      | priority | batch |
    And engine a is busy with 1 task
    And I submit task B with
      | priority | batch |
    Then the answer has
      | queue_position | 0 |
    When I submit task C
    Then the answer has
      | queue_position | 0 |
    When I submit task D with
      | priority | batch |
    Then the answer has
      | queue_position | 2 |
    When I submit task E
    Then the answer has
      | queue_position | 1 |
    When I cancel task A
    Then task D becomes completed
    And engine a was asked for tasks A, C, E, B and D in this order

  @ORCH-3004 @ORCH-3005 @ORCH-2007
  Scenario: A full queue turns a newcomer away, and tells when to come back
    Given a server with
      | ORCHD_ADMISSION_CAPACITY | 1 |
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B with
      | priority | batch |
    And I try to submit a task
    Then the answer is 429 with code ADMISSION_REJECT
    And the answer has
      | policy_label   | reject        |
      | retriable      | true          |
      | pool_id        | a             |
      | retry_after_ms | at least 1000 |
    And the answer has
      | retry_after_ms | at most 60000 |
    And the answer has the headers
      | Retry-After  | at least 1    |
      | X-Backoff-Ms | at least 1000 |
    When I cancel task B
    And I submit task C
    Then the answer is 202

  @ORCH-2007
  Scenario: Each client that is turned away is promised a place of its own
    Given engine a will take 1000 ms to say "one two"
    And engine a will say "held" and stay
    And a server with
      | ORCHD_ADMISSION_CAPACITY | 1 |
    When I submit task A
    And engine a is busy with 1 task
    And I cancel task A
    And I run task B
    And I submit task C
    And engine a is busy with 1 task
    And I submit task D
    And I try to submit a task
    Then the answer is 429 with code ADMISSION_REJECT
    When I remember the "retry_after_ms" of the answer as first
    And I try to submit a task with
      | prompt | Another: |
    Then the answer is 429 with code ADMISSION_REJECT
    And the answer has
      | retry_after_ms | above {first} |

  @ORCH-3005
  Scenario: Under drop-lru the oldest batch task makes room, and its reader is told
    Given a server with
      | ORCHD_ADMISSION_CAPACITY | 2        |
      | ORCHD_ADMISSION_POLICY   | drop-lru |
    When I submit task A with
      | priority | batch |
    And engine a is busy with 1 task
    And I submit task B with
      | priority | batch |
    And I submit task C with
      | priority | batch |
    And I submit task D
    Then the last event of task B is "error" with
      | code      | QUEUE_FULL_DROP_LRU |
      | retriable | true                |
    And task C becomes queued
    And task A becomes running
    When I submit task E
    Then task C becomes failed
    When I try to submit a task with
      | priority | batch |
    Then the answer is 429 with code QUEUE_FULL_DROP_LRU
    When I submit task F
    Then task D becomes failed

  @ORCH-3060
  Scenario: What is predicted follows from how long tasks took
    Given engine a will take 600 ms to say "one two"
    And engine a will say "held" and stay
    And a server
    When I submit task A
    And engine a is busy with 1 task
    And I cancel task A
    And I run task B
    And I submit task C
    And engine a is busy with 1 task
    And I submit task D
    And I submit task E
    Then the answer has
      | predicted_start_ms     | at least 200 |
      | predicted_start_p90_ms | at least 400 |

  @ORCH-3014
  Scenario: A deadline that cannot be kept is refused before it waits
    Given engine a will take 1500 ms to say "one two"
    And engine a will say "held" and stay
    And a server
    When I submit task A
    And engine a is busy with 1 task
    And I cancel task A
    And I run task B
    And I submit task C
    And engine a is busy with 1 task
    And I submit task D
    And I try to submit a task with
      | deadline_ms | 5 |
    Then the answer is 400 with code DEADLINE_UNMET
    And pool a soon shows
      | metrics.queue_depth | 1 |

  Scenario: A deadline that passes in the queue ends the task, and it never runs
    Given a server
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B with
      | deadline_ms | 200 |
    Then the last event of task B is "error" with
      | code      | DEADLINE_UNMET |
      | retriable | false          |
    And engine a has been asked 1 time
