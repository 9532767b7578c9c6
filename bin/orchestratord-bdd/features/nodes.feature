Feature: Nodes
  Machines register, are heard, fall silent, and are not believed when they cannot be.

  @ORCH-3424
  Scenario: A node that registers and is heard gets work
    Given a node gpu1 with pool p
    And a server
    When node gpu1 joins
    And I run task A
    Then task A soon shows
      | placement.replica_id | gpu1/p |
    And "/v2/nodes" soon shows
      | nodes.gpu1.status        | online |
      | nodes.gpu1.pools.pool_id | p      |

  @ORCH-3424
  Scenario: Tasks of a killed server wait for their node to come back
    Given a node gpu1 with pool p
    And engine gpu1 will say "one" and stay
    And a server
    When node gpu1 joins
    And I submit task A
    And engine gpu1 is busy with 1 task
    And I submit task B
    And the server is killed
    And the server starts again, not ready yet
    And 300 ms pass
    Then task B becomes queued
    When node gpu1 joins
    Then task B becomes completed
    And task B soon shows
      | placement.replica_id | gpu1/p |

  @ORCH-3425
  Scenario: A silent node is offline, and its next heartbeat brings it back
    Given a node gpu1 with pool p
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 2000 |
    When node gpu1 joins
    Then "/v2/nodes" soon shows
      | nodes.gpu1.status | offline |
    When I try to submit a task
    Then the answer is 503
    When node gpu1 sends a heartbeat
    Then the answer is 200
    And "/v2/nodes" soon shows
      | nodes.gpu1.status | online |

  @ORCH-3423
  Scenario: Of the streams on a silent node those live on that say something
    Given a node gpu1 with pool p of 2 slots
    And engine gpu1 will go on for 6000 ms
    And engine gpu1 will say "one" and stay
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 2500 |
    When node gpu1 joins
    And I submit task A of 100 tokens
    And engine gpu1 is busy with 1 task
    And I submit task B
    Then the last event of task B is "error" with
      | code | WORKER_RESET |
    And "/v2/nodes" soon shows
      | nodes.gpu1.status | offline |
    And task A becomes completed

  @ORCH-3426
  Scenario: Time in which the server stood still is no silence of its nodes
    Given a node gpu1 with pool p
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 4000 |
    When node gpu1 joins
    And the server stands still for 5000 ms
    And I get "/v2/nodes"
    Then the answer has
      | nodes.gpu1.status | online |

  @ORCH-3427
  Scenario: A heartbeat that was sent before changes nothing
    Given a node gpu1 with pool p
    And a server
    When node gpu1 registers with
      | incarnation | 7 |
    And node gpu1 sends a heartbeat with
      | incarnation | 7 |
      | seq         | 2 |
    Then the answer has
      | success | true |
    And pool p soon shows
      | ready | true |
    When node gpu1 reports
      | ready | false |
    And node gpu1 sends a heartbeat with
      | incarnation | 7 |
      | seq         | 2 |
    Then the answer has
      | success | false |
    And pool p soon shows
      | ready | true |
    When node gpu1 sends a heartbeat with
      | incarnation | 8 |
      | seq         | 1 |
    Then the answer is 404
    And the metrics soon say
      | orchd_node_heartbeats_total{outcome="stale"} | 1 |

  @ORCH-3428
  Scenario: A node that falls silent again and again gets work only after it has stayed
    Given a node gpu1 with pool p
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 3000 |
    When node gpu1 joins
    Then "/v2/nodes" soon shows
      | nodes.gpu1.status | offline |
    When node gpu1 joins
    Then "/v2/nodes" soon shows
      | nodes.gpu1.status | offline |
    When node gpu1 sends a heartbeat
    And 500 ms pass
    And node gpu1 sends a heartbeat
    And I get "/v2/pools/p/health"
    Then the answer has
      | replicas.gpu1/p.ready | false |
    When I get "/v2/nodes"
    Then the answer has
      | nodes.gpu1.status | online |
    When I try to submit a task
    Then the answer is 503

  @ORCH-3429
  Scenario: Another machine cannot take the name of a node that is there
    Given a node gpu1 with pool p
    And a server
    When node gpu1 joins
    And node gpu1 registers with
      | machine_id | another |
    Then the answer is 409 with code NODE_CONFLICT
    When node gpu1 registers with
      | incarnation | 9 |
    Then the answer is 200

  @ORCH-3430
  Scenario: When most nodes fall silent at once nobody is set offline, and an alarm is raised
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And a node gpu3 with pool p
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 3000 |
    When node gpu1 joins
    And node gpu2 joins
    And node gpu3 joins
    Then the log soon has a line with
      | target | orchestratord::nodes |
      | msg    | nodes suspected      |
    When 500 ms pass
    And I get "/v2/nodes"
    Then the answer has
      | nodes.gpu1.status | online |
      | nodes.gpu2.status | online |
      | nodes.gpu3.status | online |

  @ORCH-3431
  Scenario: Impossible numbers are refused, and three in a row leave the node out
    Given a node gpu1 with pool p
    And a server
    When node gpu1 joins
    And node gpu1 reports
      | slots_total | 1000000000 |
    And node gpu1 sends a heartbeat
    Then the answer is 400
    And the answer has
      | message | starts with pools[0].slots_total: |
    When node gpu1 sends a heartbeat
    And node gpu1 sends a heartbeat
    And node gpu1 reports
      | slots_total | 1 |
    And node gpu1 sends a heartbeat
    Then the answer is 409 with code NODE_CONFLICT
    And "/v2/nodes" soon shows
      | nodes.gpu1.status | failed |
    When I try to submit a task
    Then the answer is 503

  @ORCH-3432
  Scenario Outline: A node cannot lead the server to another host
    Given a node gpu1 with pool p
    And a server
    When node gpu1 registers
    And node gpu1 reports
      | endpoint | <endpoint> |
    And node gpu1 sends a heartbeat
    Then the answer is 400
    And the answer has
      | message | starts with pools[0].endpoint: |

    Examples:
      | endpoint                  |
      | http://169.254.169.254:80 |
      | http://10.0.0.1:8080      |
      | file:///etc/passwd        |
      | http://user@127.0.0.1:1   |
      | http://0.0.0.0:1          |

  @ORCH-3433 @ORCH-3012
  Scenario: A pool of two nodes is one pool, and takes tasks by free memory
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And node gpu1 reports
      | vram_free_bytes | 1073741824 |
    And a server
    When node gpu1 joins
    And node gpu2 joins
    Then pool p soon shows
      | metrics.slots_total     | 2    |
      | replicas.gpu1/p.ready   | true |
      | replicas.gpu2/p.ready   | true |
    When I run task A
    Then the event "started" of task A has
      | replica_id | gpu2/p |
    When node gpu1 reports
      | vram_free_bytes | 12884901888 |
    And node gpu1 joins
    Then pool p soon shows
      | replicas.gpu1/p.vram_free_bytes | 12884901888 |
    When I run task B
    Then the event "started" of task B has
      | replica_id | gpu1/p |

  @ORCH-3046
  Scenario: An engine of another version does not join a pool
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And node gpu2 reports
      | engine_version | b2 |
    And a server
    When node gpu1 joins
    And node gpu2 registers
    And node gpu2 sends a heartbeat
    Then pool p soon shows
      | replicas.gpu2/p.ready      | false                           |
      | replicas.gpu2/p.last_error | contains a pool has one version |
    When I delete "/v2/nodes/gpu1"
    Then pool p soon shows
      | replicas.gpu2/p.ready | true |

  @ORCH-3421
  Scenario: A task that is pinned to a node runs there or nowhere
    Given a node gpu1 with pool p
    And a node gpu2 with pool p
    And a server
    When node gpu1 joins
    And node gpu2 joins
    And I run task A with
      | placement.mode    | pin  |
      | placement.node_id | gpu2 |
    Then the event "started" of task A has
      | replica_id | gpu2/p |
    When I delete "/v2/nodes/gpu2"
    And I try to submit a task with
      | placement.mode    | pin  |
      | placement.node_id | gpu2 |
    Then the answer is 503 with code NODE_UNAVAILABLE
    And the answer has
      | retriable | true |

  Scenario: Availability tells which models are where
    Given a node gpu1 with pool p of 2 slots
    And a server
    When node gpu1 joins
    And I get "/v2/catalog/availability"
    Then the answer has
      | nodes.gpu1.online     | true         |
      | models.0.model_id     | scripted     |
      | single_node_models    | ["scripted"] |
      | total_models          | 1            |

  @ORCH-3097
  Scenario: A node whose model is another one than the catalog's gets nothing
    Given a small model in "m.gguf"
    And a node gpu1 with pool p
    And node gpu1 reports
      | model_id     | file:{folder}/m.gguf                                                    |
      | model_digest | sha256:0000000000000000000000000000000000000000000000000000000000000000 |
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
    When I post "/v2/catalog/models" with
      | id        | m                    |
      | model_ref | file:{folder}/m.gguf |
      | digest    | {digest}             |
    And I post "/v2/catalog/models/m/verify"
    And node gpu1 registers
    And node gpu1 sends a heartbeat
    Then pool p soon shows
      | replicas.gpu1/p.ready      | false                          |
      | replicas.gpu1/p.last_error | starts with UNTRUSTED_ARTIFACT |
    When node gpu1 reports
      | model_digest | {digest} |
    And node gpu1 joins
    And I run task A with
      | model_ref | m |
    Then task A becomes completed
