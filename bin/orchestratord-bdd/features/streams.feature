Feature: Streams
  What a reader of a task's stream may rely on.

  @ORCH-2002
  Scenario: A stream consists of five kinds of events and ends once
    Given a server
    When I run task A of 3 tokens
    Then the events of task A are "started token token token metrics end"
    And the events of task A are numbered without a gap
    And the last event of task A is "end" with
      | tokens_out    | 3      |
      | tokens_in     | any    |
      | finish_reason | length |

  @ORCH-2002
  Scenario: A task that fails ends its stream with one error
    Given an engine a
    And engine a will refuse with "no such grammar"
    And a server
    When I run task A
    Then the last event of task A is "error" with
      | code      | INVALID_PARAMS           |
      | message   | contains no such grammar |
      | retriable | false                    |

  @ORCH-3029
  Scenario: The first event tells where the task runs
    Given an engine a
    And engine a will say "one two"
    And a server
    When I run task A
    Then the event "started" of task A has
      | job_id             | {A}       |
      | queue_position     | 0         |
      | predicted_start_ms | any       |
      | engine             | llamacpp  |
      | engine_version     | b1-script |
      | pool_id            | a         |
      | replica_id         | local/a   |
      | kv_warmth          | false     |
      | attempt            | 1         |
    And the text of task A is " one two"

  Scenario: A reader that comes late or comes back gets the same bytes
    Given a server
    When I run task A of 5 tokens
    And I read the stream of task A
    Then each event of task A can be resumed behind, byte for byte
    And the stream of task A is what I read before

  Scenario Outline: A place that no event has is refused
    Given a server
    When I run task A of 1 token
    And I read the stream of task A after event <place>
    Then the answer is 400 with code INVALID_PARAMS

    Examples:
      | place |
      | 99    |
      | last  |
      | -1    |

  @ORCH-3100
  Scenario: The metrics of a task with a deadline tell how likely it was to be met
    Given a server
    When I run task B of 3 tokens
    And I run task A of 3 tokens with
      | deadline_ms | 60000 |
    Then the event "metrics" of task A has
      | on_time_probability | above 0 |
      | queue_depth         | 0       |

  Scenario: A verbose stream has the same events, and says what was done in a sentence
    Given a server
    When I run task A of 2 tokens
    And I get "/v2/tasks/{A}/events?verbose=true"
    Then the answer contains "human"
    And the answer has the headers
      | Cache-Control     | no-cache |
      | X-Accel-Buffering | no       |

  Scenario: A stream past its retention is told as gone, with how the task ended
    Given a server with
      | ORCHD_JOBS_RETENTION_MS | 1 |
    When I submit task A of 1 token
    Then task A becomes completed
    And "/v2/tasks/{A}/events" soon shows
      | code | STREAM_EXPIRED |
    And the answer is 410

  Scenario: A task that its reader wants to end with it is canceled when the reader has left
    Given an engine a
    And engine a will say "one two" and stay
    And a server
    When I submit task A with
      | on_disconnect | cancel |
    And I read 3 events of task A
    And I leave the stream of task A
    Then task A becomes canceled
    And engine a sees its client leave

  @ORCH-3016
  Scenario: An engine that falls silent between tokens ends its task
    Given an engine a
    And engine a will say "one" and stay
    And a server with
      | ORCHD_ENGINE_IDLE_TIMEOUT_MS | 300 |
    When I run task A
    Then the last event of task A is "error" with
      | code       | DECODE_TIMEOUT |
      | retriable  | true           |
      | tokens_out | 1              |

  @ORCH-3016
  Scenario: A task that runs too long as a whole is ended
    Given an engine a
    And engine a will take 20000 ms to say "one two"
    And a server with
      | ORCHD_ENGINE_WALL_TIMEOUT_MS | 400 |
    When I run task A
    Then the last event of task A is "error" with
      | code | DECODE_TIMEOUT |

  @ORCH-3016
  Scenario: A prompt beyond the context is refused and never cut
    Given an engine a
    And a server
    When I try to submit a task with a prompt of 20000 bytes
    Then the answer is 400 with code INVALID_PARAMS
    And engine a has been asked 0 times
