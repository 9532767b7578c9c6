Feature: Observability
  Operators read what happens in flat lines, plain sentences and metrics.

  @ORCH-3027
  Scenario: Every line about a task is a flat object with the ids of the task and its request
    Given a server
    And my requests carry
      | X-Correlation-Id | mine-1 |
    When I run task A of 3 tokens
    Then the log soon has a line with
      | msg        | task ended    |
      | job_id     | {A}           |
      | outcome    | completed     |
      | pool_id    | default       |
      | replica_id | local/default |
      | tokens_out | 3             |
      | tokens_in  | any           |
    And every line about task A has
      | level          | info   |
      | ts             | any    |
      | target         | any    |
      | msg            | any    |
      | correlation_id | mine-1 |

  @ORCH-3300 @ORCH-3301 @ORCH-3303 @ORCH-3305
  Scenario: Each narrated moment names its actor, action and target, and stands beside its fields
    Given an engine a
    And engine a will say "one two"
    And engine a will say "one" and stay
    And a server
    When I run task A
    And I submit task B
    And I read 2 events of task B
    And I cancel task B
    And I post "/v2/pools/a/drain" with
      | deadline_ms | 0 |
    And the server stops in order
    Then every narrated line has
      | actor       | any |
      | action      | any |
      | target_kind | any |
      | human       | any |
    And the log soon has a line with
      | msg      | task ended        |
      | job_id   | {A}               |
      | outcome  | completed         |
      | human    | starts with The   |

  @ORCH-3304
  Scenario: No sentence holds a secret or a part of a prompt
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    And I hold the token "0123456789abcdef0123456789abcdef"
    When I run task A of 3 tokens with
      | prompt | the wish of one person |
    Then the log soon has a line with
      | msg   | task ended |
      | human | any        |
    And the log never says "the wish of one"
    And the log never says "0123456789abcdef0123"

  @ORCH-3307 @ORCH-3308 @ORCH-3309 @ORCH-3310
  Scenario: The moments of a task are narrated
    Given an engine a
    And engine a will say "one" and stay
    And a server with
      | ORCHD_ADMISSION_CAPACITY | 1 |
    When I submit task A
    And I read 2 events of task A
    And I submit task B
    And I try to submit a task
    And I cancel task B
    And I cancel task A
    Then the log soon has a line with
      | msg    | task accepted |
      | job_id | {A}           |
      | action | accept        |
      | human  | any           |
    And the log soon has a line with
      | msg    | task refused |
      | action | refuse       |
      | human  | any          |
    And the log soon has a line with
      | msg    | task dispatched |
      | job_id | {A}             |
      | actor  | placement       |
      | human  | any             |
    And the log soon has a line with
      | msg    | stream started |
      | job_id | {A}            |
      | human  | any            |
    And the log soon has a line with
      | msg     | task ended      |
      | job_id  | {A}             |
      | outcome | canceled        |
      | human   | contains cancel |
    And the log soon has a line with
      | msg     | task ended      |
      | job_id  | {B}             |
      | human   | contains cancel |

  @ORCH-3309
  Scenario: The end of a stream is narrated
    Given a server
    When I run task A of 3 tokens
    Then the log soon has a line with
      | msg   | task ended             |
      | human | starts with The stream |

  @ORCH-3311
  Scenario: The drain at shutdown is narrated from its beginning to its end
    Given a server
    When the server stops in order
    Then the log soon has a line with
      | msg   | shutting down |
      | human | any           |
    And the log soon has a line with
      | msg   | drained |
      | human | any     |

  @ORCH-3312
  Scenario: What is done to a pool as a whole is narrated
    Given a server
    When I post "/v2/pools/default/drain" with
      | deadline_ms | 0 |
    Then the log soon has a line with
      | msg     | pool is drained |
      | pool_id | default         |
      | human   | any             |
    When I post "/v2/pools/default/resume"
    Then the log soon has a line with
      | msg   | pool takes work again |
      | human | any                   |
    When I post "/v2/pools/default/reload" with
      | new_model_ref | other |
    Then the log soon has a line with
      | msg   | pool reloads |
      | human | any          |

  @ORCH-3312
  Scenario: What a node does is narrated
    Given a node gpu1 with pool p
    And a server with
      | ORCHD_NODES_OFFLINE_AFTER_MS | 2000 |
    When node gpu1 joins
    Then the log soon has a line with
      | msg     | node registered |
      | node_id | gpu1            |
      | human   | any             |
    And the log soon has a line with
      | msg   | node offline |
      | human | any          |
    When node gpu1 sends a heartbeat
    Then the log soon has a line with
      | msg   | node online |
      | human | any         |
    When I delete "/v2/nodes/gpu1"
    Then the log soon has a line with
      | msg   | node removed |
      | human | any          |

  @ORCH-3028
  Scenario: The metrics count what happened, under their names
    Given an engine a
    And engine a will take 300 ms to say "one two"
    And engine a will say "held" and stay
    And a server with
      | ORCHD_ADMISSION_CAPACITY | 1 |
    When I run task A
    And I submit task B
    And engine a is busy with 1 task
    And I submit task C
    And I try to submit a task
    And I cancel task C
    Then the metrics soon say
      | orchd_admission_queue_depth{pool_id="a"}                          | 0       |
      | orchd_admission_enqueued_total{pool_id="a",outcome="dispatched"}  | 2       |
      | orchd_admission_enqueued_total{pool_id="a",outcome="queued"}      | 1       |
      | orchd_admission_rejected_total{pool_id="a",reason="queue_full"}   | 1       |
      | orchd_tasks_dispatched_total{pool_id="a",outcome="completed"}     | 1       |
      | orchd_dispatch_latency_ms_count{pool_id="a"}                      | 2       |
      | orchd_pool_health_checks_total{pool_id="a",outcome="ok"}          | above 0 |
      | orchd_pools_available                                             | 1       |
      | admission_backpressure_events_total{engine="llamacpp",policy="reject"} | 1  |
      | tasks_rejected_total{engine="llamacpp",reason="queue_full"}       | 1       |
      | tokens_out_total{engine="llamacpp",engine_version="b1-script",pool_id="a",replica_id="local/a"} | above 1 |

  @ORCH-3028
  Scenario: What a client calls things is no label
    Given a server
    When I try to submit a task with
      | model_ref | nobody-serves-this |
    And I get "/metrics"
    Then the answer contains "orchd_admission_rejected_total"
    And the answer does not contain "nobody-serves-this"

  @ORCH-3313
  Scenario: A metric has a bounded number of lines, whatever names there are
    Given a server
    When 1300 models are registered
    And I get "/metrics"
    Then no metric in the answer has more than 1500 lines
    And the answer contains "other"

  @ORCH-3314
  Scenario: A port of its own serves metrics and nothing else
    Given a free port P
    And a server with
      | PROMETHEUS_METRICS_PORT | {P} |
    When I get "http://127.0.0.1:{P}/metrics"
    Then the answer is 200
    And the answer contains "# EOF"
    When I get "http://127.0.0.1:{P}/v2/tasks"
    Then the answer is 404

  @ORCH-3314
  Scenario: A port for metrics that is taken refuses the start
    Given a taken port P
    And a server that does not start with
      | PROMETHEUS_METRICS_PORT | {P} |
    Then it says "PROMETHEUS_METRICS_PORT"

  @ORCH-3315
  Scenario: A record is one line, whatever a node calls things
    Given a node gpu1 with pool p
    And node gpu1 reports
      | engine_version | "b1\\nnot a record\\u001b[31m" |
    And a server
    When node gpu1 registers
    And node gpu1 sends a heartbeat
    Then the log soon has a line with
      | msg | node registered |
    And every line of the log is a record
