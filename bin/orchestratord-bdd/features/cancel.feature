Feature: Cancel
  A cancel ends a task at once, and exactly once.

  @ORCH-3017
  Scenario: A running task is canceled, its stream ends and its engine stops
    Given an engine a
    And engine a will say "one two" and stay
    And engine a will say "next"
    And a server
    When I submit task A
    And I submit task B
    And I read 3 events of task A
    And I cancel task A
    Then the answer is 204
    And the events of task A are "started token token metrics end"
    And the last event of task A is "end" with
      | finish_reason | canceled |
    And engine a sees its client leave
    And task B becomes completed

  @ORCH-3017
  Scenario: A waiting task is canceled and never runs
    Given an engine a
    And engine a will say "one" and stay
    And a server
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B
    And I cancel task B
    Then the answer is 204
    And the events of task B are "metrics end"
    When I cancel task A
    Then pool a soon shows
      | metrics.slots_free  | 1 |
      | metrics.queue_depth | 0 |
    And engine a has been asked 1 time

  @ORCH-3026
  Scenario: Of a cancel and an end one wins, and what comes later changes nothing
    Given a server
    When I run task A of 3 tokens
    And I read the stream of task A
    And I cancel task A
    Then the answer is 409 with code JOB_ENDED
    And the stream of task A is what I read before
    And task A becomes completed

  @ORCH-3026
  Scenario: A cancel may be repeated
    Given an engine a
    And engine a will say "one" and stay
    And a server
    When I submit task A
    And I read 2 events of task A
    And I cancel task A
    Then the answer is 204
    When I cancel task A
    Then the answer is 204
    And the events of task A are "started token metrics end"

  Scenario: What nobody submitted cannot be canceled
    Given a server
    When I post "/v2/tasks/{uuid other}/cancel"
    Then the answer is 404 with code NOT_FOUND
