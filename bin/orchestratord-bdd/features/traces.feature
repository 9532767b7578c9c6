Feature: Traces
  Each task is one tree of spans, and whoever collects them delays nothing.

  @ORCH-3330 @ORCH-3333 @ORCH-3334
  Scenario: A task is one tree of spans below the span of its client
    Given a collector of traces
    And an engine a
    And engine a will say "one two"
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 |
    When I run task A with
      | prompt | the wish of one person |
    Then the collector soon has the spans "admission dispatch first_token placement queue stream task"
    And each span lies within its parent's time, in one trace
    And the collector soon has a span "task" with
      | trace_id   | 4bf92f3577b34da6a3ce929d0e0e4736 |
      | parent_id  | 00f067aa0ba902b7                 |
      | job_id     | {A}                              |
      | outcome    | completed                        |
      | tokens_out | "2"                              |
    And the collector never got "the wish of one"

  @ORCH-3330
  Scenario: An endpoint that is none refuses the start
    Given a server that does not start with
      | OTEL_EXPORTER_OTLP_ENDPOINT | nowhere |
    Then its exit code is 78
    And it says "OTEL_EXPORTER_OTLP_ENDPOINT"

  @ORCH-3332
  Scenario Outline: What a caller or the operator decided about recording holds
    Given a collector of traces
    And an engine a
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
      | OTEL_TRACES_SAMPLER         | <sampler>   |
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-<flags> |
    When I run task A
    And the server stops in order
    Then the collector got nothing

    Examples:
      | sampler               | flags |
      | parentbased_always_on | 00    |
      | always_off            | 01    |

  @ORCH-3333
  Scenario: Each attempt is a span of its own, and one that failed tells its code
    Given a collector of traces
    And an engine a
    And an engine b
    And engine a will break before it says anything
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    When I run task A with
      | placement.mode         | prefer |
      | placement.prefer_pools | ["a"]  |
    Then the collector soon has a span "dispatch" with
      | pool_id | a            |
      | error   | WORKER_RESET |
    And the collector soon has a span "dispatch" with
      | pool_id | b    |
      | attempt | "2"  |
      | error   | none |

  @ORCH-3335
  Scenario: A collector that never answers delays neither tasks nor the stop
    Given a collector of traces that never answers
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    When I run task A of 3 tokens
    And I run task B of 3 tokens
    Then task B becomes completed
    And the server stops in order

  @ORCH-3335
  Scenario: The log tells that a collector does not take spans
    Given a collector of traces that fails
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    When I run task A of 3 tokens
    Then the log soon has a line with
      | level | warn                          |
      | msg   | contains does not take traces |

  @ORCH-3336
  Scenario: A stop sends what is left
    Given a collector of traces
    And an engine a
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    When I run task A
    And the server stops in order
    Then the collector soon has the spans "admission dispatch first_token placement queue stream task"

  @ORCH-3337
  Scenario: A task that comes back after a kill stays in its trace
    Given a collector of traces
    And an engine a
    And engine a will think for ever
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 |
    When I submit task A
    And engine a is busy with 1 task
    And the server is killed
    And the server starts again
    Then task A becomes completed
    And the collector soon has a span "task" with
      | trace_id  | 4bf92f3577b34da6a3ce929d0e0e4736 |
      | job_id    | {A}                              |
      | recovered | "true"                           |

  @ORCH-3338
  Scenario: An operation on a pool is one span
    Given a collector of traces
    And a server with
      | OTEL_EXPORTER_OTLP_ENDPOINT | {collector} |
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 |
    When I post "/v2/pools/default/drain" with
      | deadline_ms | 0 |
    Then the collector soon has a span "pool_drain" with
      | trace_id  | 4bf92f3577b34da6a3ce929d0e0e4736 |
      | parent_id | 00f067aa0ba902b7                 |

  @ORCH-3339
  Scenario: Lines about a task tell its trace
    Given a server
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 |
    When I run task A of 3 tokens
    Then every line about task A has
      | trace_id       | 4bf92f3577b34da6a3ce929d0e0e4736 |
      | correlation_id | any                              |
