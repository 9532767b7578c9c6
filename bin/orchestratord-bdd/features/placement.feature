Feature: Placement
  Where a task runs, and where it never does.

  @ORCH-3008
  Scenario: A task runs where it is pinned, or prefers to
    Given an engine a
    And an engine b
    And a server
    When I run task A with
      | placement.mode        | pin |
      | placement.pin_pool_id | b   |
    Then the event "started" of task A has
      | pool_id | b |
    When I run task B with
      | placement.avoid_pools | ["b"] |
    Then the event "started" of task B has
      | pool_id | a |
    When I get "/v2/tasks/{B}/explain"
    Then the answer is 200
    And the answer has
      | choice.pool_id | a |

  @ORCH-3008
  Scenario: The least loaded of two engines takes the next task
    Given an engine a with 2 slots
    And an engine b with 2 slots
    And engine a will say "held" and stay
    And engine b will say "held" and stay
    And a server
    When I submit task A
    And task A becomes running
    And I submit task B
    Then engine a is busy with 1 task
    And engine b is busy with 1 task

  @ORCH-3008
  Scenario: The operator may have the engines take turns
    Given an engine a
    And an engine b
    And a server with
      | ORCHD_PLACEMENT_STRATEGY | round-robin |
    When I run task A
    And I run task B
    Then engine a has been asked 1 time
    And engine b has been asked 1 time

  @ORCH-3010
  Scenario: An engine that is not ready gets nothing, and a pin to it is told
    Given an engine a
    And an engine b
    And a server with
      | ORCHD_ENGINE_HEALTH_INTERVAL_MS | 50 |
    When engine b is no longer well
    Then pool b soon shows
      | ready | false |
    When I try to submit a task with
      | placement.mode        | pin |
      | placement.pin_pool_id | b   |
    Then the answer is 503 with code POOL_UNAVAILABLE
    When I run task A
    And I run task B
    Then engine b has been asked 0 times
    When engine b is well again
    Then pool b soon shows
      | ready | true |

  @ORCH-3095
  Scenario: Capabilities are those of the engines that are ready at the moment
    Given an engine a
    And an engine b
    And a server with
      | ORCHD_ENGINE_HEALTH_INTERVAL_MS | 50 |
    When I get "/v2/meta/capabilities"
    Then the answer has
      | engines | 2 of them |
    When engine b is no longer well
    Then "/v2/meta/capabilities" soon shows
      | engines         | 1 of them |
      | engines.pool_id | a         |
    When engine b is well again
    Then "/v2/meta/capabilities" soon shows
      | engines | 2 of them |

  @ORCH-2103
  Scenario: A pool tells how it is, what it has, and what went wrong last
    Given an engine a with 2 slots
    And engine a will say "held" and stay
    And a server with
      | ORCHD_ENGINE_HEALTH_INTERVAL_MS | 50 |
    When I submit task A
    Then pool a soon shows
      | live                     | true  |
      | ready                    | true  |
      | draining                 | false |
      | last_error               | none  |
      | metrics.slots_total      | 2     |
      | metrics.slots_free       | 1     |
      | metrics.queue_depth      | 0     |
      | replicas.local/a.ready   | true  |
      | replicas.local/a.models  | any   |
    When engine a is no longer well
    Then pool a soon shows
      | ready      | false |
      | last_error | any   |
    When I get "/v2/pools/nowhere/health"
    Then the answer is 404

  @ORCH-3011
  Scenario: A device mask binds
    Given the file "pools.toml" with
      """
      [[pools]]
      id = "a"
      engine = "mock"
      device = "0"
      [[pools]]
      id = "b"
      engine = "mock"
      device = "1"
      """
    And a server with
      | ORCHD_CONFIG | {folder}/pools.toml |
    When I run task A with
      | placement.require_device_mask | "1" |
    Then the event "started" of task A has
      | pool_id | b |
    When I try to submit a task with
      | placement.require_device_mask | "0,1" |
    Then the answer is 503 with code POOL_UNAVAILABLE
    And the answer has
      | retriable | false |

  @ORCH-3014
  Scenario: A place that is not there is told before anything waits
    Given an engine a
    And a server
    When I try to submit a task with
      | placement.mode        | pin |
      | placement.pin_pool_id | c   |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message | starts with placement.pin_pool_id: |
    When I try to submit a task with
      | placement.avoid_pools | ["a"] |
    Then the answer is 503 with code MODEL_NOT_AVAILABLE
    And pool a soon shows
      | metrics.queue_depth | 0 |

  @ORCH-3062
  Scenario: An engine that is well by its own word and fails all requests gets a pause
    Given an engine a
    And engine a will say "one" and break
    And engine a will say "one" and break
    And engine a will say "one" and break
    And a server
    When I run task A with
      | prompt | first |
    And I run task B with
      | prompt | second |
    And I run task C with
      | prompt | third |
    And I submit task D with
      | prompt | fourth |
    Then "/v2/tasks/{D}/explain" soon shows
      | choice.candidates.verdict | circuit_open |
    And engine a has been asked 3 times
    And task D becomes completed

  @ORCH-3063
  Scenario: A request that breaks two engines meets no third one
    Given an engine a
    And an engine b
    And an engine c
    And engine a will break before it says anything
    And engine b will break before it says anything
    And engine c will break before it says anything
    And a server
    When I run task A with
      | prompt | poison |
    Then the last event of task A is "error" with
      | code      | POISONED |
      | retriable | false    |
    When I try to submit a task with
      | prompt | poison |
    Then the answer is 422 with code POISONED
    When I run task B with
      | prompt | harmless |
    Then task B becomes completed

  Scenario: An engine that is busy is asked again, at no cost
    Given an engine a
    And engine a will be busy
    And engine a will say "at last"
    And a server
    When I run task A
    Then the text of task A is " at last"
    And task A soon shows
      | attempts | 1 |
