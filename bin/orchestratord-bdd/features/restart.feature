Feature: Restart
  What was accepted is accounted for, whatever happens to the process.

  @ORCH-3400 @ORCH-3405 @ORCH-3406
  Scenario: What waited when the server was killed runs in its order and class
    Given an engine a
    And engine a will think for ever
    And a server
    When I submit task A with
      | priority | batch |
    And engine a is busy with 1 task
    And I submit task B with
      | priority | batch |
    And I submit task C
    And I submit task D with
      | priority | batch |
    And the server is killed
    And the server starts again
    Then task A becomes completed
    And task D becomes completed
    And engine a was asked for tasks A, C, A, B and D in this order

  @ORCH-3405
  Scenario: A task that wants speed is not kept
    Given a server
    When I run task A of 1 token with
      | durability | memory |
    And the server is killed
    And the server starts again
    And I get "/v2/tasks/{A}"
    Then the answer is 404

  @ORCH-3406
  Scenario: A task of which readers had tokens ends as a lost engine would end it
    Given an engine a
    And engine a will say "one two" and stay
    And a server
    When I submit task A
    And I read 3 events of task A
    And 700 ms pass
    And the server is killed
    And the server starts again
    Then the last event of task A is "error" with
      | code       | WORKER_RESET |
      | attempts   | 1            |
      | tokens_out | 2            |
    And the stream of task A is what I read before
    And engine a has been asked 1 time

  @ORCH-3406
  Scenario: A task that asked for it begins anew after a kill
    Given an engine a
    And engine a will say "one" and stay
    And a server
    When I submit task A with
      | on_engine_loss | restart |
    And I read 2 events of task A
    And the server is killed
    Given engine a will say "two three"
    When the server starts again
    Then task A becomes completed
    And the text of task A is " two three"

  @ORCH-3408
  Scenario: How a task ended is read after a kill, byte for byte
    Given a server
    When I run task A of 3 tokens
    And I read the stream of task A
    And the server is killed
    And the server starts again
    Then the stream of task A is what I read before
    And each event of task A can be resumed behind, byte for byte
    And task A becomes completed

  @ORCH-3408
  Scenario: What was given up is gone from the store, too
    Given a server with
      | ORCHD_JOBS_RETENTION_MS | 1 |
      | ORCHD_JOBS_RETAINED_MAX | 1 |
    When I run task A of 1 token
    And I run task B of 1 token
    And the server stops in order
    And the server starts again with
      | ORCHD_JOBS_RETAINED_MAX | 100 |
    And I get "/v2/tasks/{A}"
    Then the answer is 404
    And task B becomes completed

  @ORCH-3409
  Scenario: A session comes back with its turns and what is left of its budget
    Given a server
    When I run task A of 3 tokens with
      | session_id    | {uuid s} |
      | budget.tokens | 1000     |
    And I run task B of 3 tokens
    And I get "/v2/sessions/{uuid s}"
    And I remember the "tokens_budget_remaining" of the answer as left
    And the server is killed
    And the server starts again
    And I get "/v2/sessions/{uuid s}"
    Then the answer has
      | turns_used              | 1      |
      | tokens_budget_remaining | {left} |

  @ORCH-3410
  Scenario: A stop in order ends nothing that was accepted
    Given an engine a
    And engine a will take 300 ms to say "one two"
    And a server
    When I submit task A
    And I read 2 events of task A
    And I submit task B
    And I begin to read the stream of task B
    And the server stops in order
    Then my stream of task B breaks off without an end
    When the server starts again
    Then the text of task A is " one two"
    And task B becomes completed

  Scenario: A server that goes down takes nothing new
    Given an engine a
    And engine a will say "one" and stay
    And a server with
      | ORCHD_SHUTDOWN_GRACE_MS | 1500 |
    When I submit task A
    And I read 2 events of task A
    And the server is told to stop
    Then "/ready" soon shows
      | status | unready |
    And the answer is 503

  @ORCH-3404
  Scenario: A folder has one owner at a time
    Given a server
    And a second server that does not start
    Then it says "is in use by another process"
    And its exit code is 78

  @ORCH-3402
  Scenario: A damaged store is refused by name, and repaired on demand
    Given a server
    When I run task A of 3 tokens
    And the server stops in order
    And every part of the file "state/jobs.db" is damaged
    And a server that does not start
    Then it says "is damaged"
    And its exit code is 78
    When a server with
      | ORCHD_REPAIR | true |
    And I run task B of 3 tokens
    Then task B becomes completed
    And there is a file "state/damaged-1/jobs.db"

  @ORCH-3403
  Scenario: A folder that a newer version wrote is refused and left as it is
    Given a server
    When I run task A of 3 tokens
    And the server stops in order
    And a newer version has written the file "state/jobs.db"
    And a server that does not start
    Then it says "newer"
    And its exit code is 78
    And the file "state/jobs.db" is as it was

  @ORCH-3411
  Scenario: What a task was asked is in no file any more, soon after it has ended
    Given a server
    When I run task A of 3 tokens with
      | prompt | the wish of one person |
    Then no file below "state" soon holds "the wish of one"
