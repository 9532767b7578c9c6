Feature: Pools
  Operators drain, reload, purge and open pools while tasks come in.

  @ORCH-2101
  Scenario: A drained pool gets nothing new, finishes what it has, and opens again
    Given an engine a
    And engine a will take 400 ms to say "one two"
    And a server
    When I submit task A
    And I read 2 events of task A
    And I post "/v2/pools/a/drain" with
      | deadline_ms | 10000 |
    Then the answer is 202
    And the answer has
      | pool_id   | a       |
      | operation | drain   |
      | state     | running |
    When I try to submit a task
    Then the answer is 503 with code POOL_UNREADY
    And the text of task A is " one two"
    And pool a soon shows
      | draining        | true      |
      | ready           | false     |
      | operation.state | succeeded |
    When I post "/v2/pools/a/resume"
    Then the answer is 204
    When I run task B
    Then task B becomes completed

  @ORCH-2101 @ORCH-3422
  Scenario: At the deadline of a drain what spoke ends, and what did not goes elsewhere
    Given an engine a with 2 slots
    And an engine b
    And engine a will say "one" and stay
    And engine a will think for ever
    And a server
    When I submit task A with
      | prompt                 | first  |
      | placement.mode         | prefer |
      | placement.prefer_pools | ["a"]  |
    And I read 2 events of task A
    And I submit task B with
      | prompt                 | second |
      | max_attempts           | 1      |
      | placement.mode         | prefer |
      | placement.prefer_pools | ["a"]  |
    And engine a is busy with 2 tasks
    And I post "/v2/pools/a/drain" with
      | deadline_ms | 200 |
    Then the last event of task A is "error" with
      | code      | WORKER_RESET |
      | retriable | true         |
    And task B becomes completed
    And task B soon shows
      | placement.pool_id | b |
      | attempts          | 1 |

  @ORCH-2102
  Scenario: A pool reloads replica by replica and serves the new model
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And a server
    When node gpu1 joins
    And node gpu2 joins
    And I post "/v2/pools/p/reload" with
      | new_model_ref | next |
    Then the answer is 202
    And the answer has
      | state | succeeded |
    And node gpu1 was told to "reload"
    And node gpu2 was told to "reload"
    And pool p soon shows
      | replicas.gpu1/p.models | ["next"] |
      | replicas.gpu2/p.models | ["next"] |
    When I run task A with
      | model_ref | next |
    Then task A becomes completed

  @ORCH-2102
  Scenario: A reload that fails leaves every replica with the model that it had
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And node gpu2 will fail when it reloads
    And a server
    When node gpu1 joins
    And node gpu2 joins
    And I post "/v2/pools/p/reload" with
      | new_model_ref | next |
    Then the answer is 409 with code RELOAD_FAILED
    And node gpu1 was told to "reload reload"
    And pool p soon shows
      | replicas.gpu1/p.models | ["scripted"] |
      | replicas.gpu1/p.ready  | true         |
      | replicas.gpu2/p.ready  | true         |
    When I run task A
    Then task A becomes completed

  @ORCH-3031
  Scenario Outline: Of operations at once one wins, and the other is told which it is
    Given a node gpu1 with pool p
    And node gpu1 will hang when it reloads
    And a server
    When node gpu1 joins
    And I post "/v2/pools/p/reload" with
      | new_model_ref | next |
      | wait_ms       | 0    |
    Then the answer is 202
    When I post "/v2/pools/p/<operation>" with
      | deadline_ms   | 1     |
      | new_model_ref | other |
    Then the answer is 409 with code POOL_BUSY
    And the answer contains "reload"
    And the answer has
      | retriable | true |

    Examples:
      | operation |
      | drain     |
      | reload    |
      | purge     |

  @ORCH-2104
  Scenario: A purge closes the pool and begins only when nothing runs there
    Given a node gpu1 with pool p
    And engine gpu1 will say "one" and stay
    And a server
    When node gpu1 joins
    And I submit task A
    And I read 2 events of task A
    And I post "/v2/pools/p/purge" with
      | drain_first | false |
    Then the answer is 409 with code POOL_BUSY
    And node gpu1 was told to ""
    When I post "/v2/pools/p/purge" with
      | drain_first | false |
      | force       | true  |
    Then the answer is 202
    And pool p soon shows
      | operation.state | succeeded |
    And node gpu1 was told to "purge"
    And the last event of task A is "error"
    When I try to submit a task
    Then the answer is 503

  @ORCH-3038
  Scenario: A pool that was drained stays closed over a restart
    Given a node gpu1 with pool p
    And a server
    When node gpu1 joins
    And I post "/v2/pools/p/drain" with
      | deadline_ms | 0 |
    Then the answer is 202
    When the server is killed
    And node gpu1 reports
      | draining | false |
    And the server starts again, not ready yet
    And node gpu1 sends a heartbeat
    Then pool p soon shows
      | replicas.gpu1/p.engine | llamacpp |
      | draining               | true     |
    When I try to submit a task
    Then the answer is 503 with code POOL_UNREADY

  @ORCH-3038
  Scenario: A reload that was under way is finished by the next process
    Given a node gpu1 with pool p
    And node gpu1 will hang when it reloads
    And a server
    When node gpu1 joins
    And I post "/v2/pools/p/reload" with
      | new_model_ref | next |
      | wait_ms       | 0    |
    Then node gpu1 was told to "reload"
    When the server is killed
    And the server starts again, not ready yet
    And node gpu1 sends a heartbeat
    Then pool p soon shows
      | operation.state        | succeeded |
      | replicas.gpu1/p.models | ["next"]  |
    And node gpu1 was told to "reload reload"

  Scenario: An engine that nobody manages can be drained and nothing else
    Given an engine a
    And a server
    When I post "/v2/pools/a/reload" with
      | new_model_ref | next |
    Then the answer is 409 with code POOL_NOT_MANAGED

  Scenario: A wrong request names its field
    Given a server
    When I post "/v2/pools/default/drain" with
      | deadline_ms | -1 |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message | starts with deadline_ms: |
