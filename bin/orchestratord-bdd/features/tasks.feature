Feature: Tasks
  A client submits a task, watches it, and finds it again.

  Scenario: A task is accepted, runs and is shown with its text
    Given a server
    When I submit task A of 3 tokens
    Then the answer is 202
    And the answer has the headers
      | Location | /v2/tasks/{A} |
    And the answer has
      | job_id             | {A}                                |
      | task_id            | {A}                                |
      | queue_position     | 0                                  |
      | predicted_start_ms | any                                |
      | streams.sse        | /v2/tasks/{A}/events               |
      | streams.sse_verbose | /v2/tasks/{A}/events?verbose=true |
    And task A becomes completed
    And the answer has
      | text               | any    |
      | finish_reason      | length |
      | usage.tokens_out   | 3      |
      | placement.pool_id  | default |

  Scenario Outline: A wrong field is refused by its name before anything is queued
    Given a server
    When I try to submit a task with
      | <field> | <value> |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message   | starts with <field>: |
      | retriable | false                |
    And "/v2/tasks" soon shows
      | tasks | 0 of them |

    Examples:
      | field        | value     |
      | max_tokens   | 0         |
      | temperature  | 101       |
      | priority     | urgent    |
      | task_id      | mine      |
      | durability   | perhaps   |
      | stop         | [""]      |
      | engine       | triton    |
      | workload     | poem      |

  @ORCH-3014
  Scenario: A deadline that has passed already is refused
    Given a server
    When I try to submit a task with
      | deadline_ms | 0 |
    Then the answer is 400 with code DEADLINE_UNMET

  @ORCH-3090
  Scenario Outline: A model is named in one of the known ways, and nothing else is taken for a name
    Given a server
    When I try to submit a task with
      | model_ref | <name> |
    Then the answer is <status> with code <code>

    Examples:
      | name              | status | code                |
      | ../mock           | 400    | INVALID_PARAMS      |
      | http://host/model | 400    | INVALID_PARAMS      |
      | file:relative     | 400    | INVALID_PARAMS      |
      | two words         | 400    | INVALID_PARAMS      |
      | nobody-has-it     | 503    | MODEL_NOT_AVAILABLE |
      | hf:org/other      | 503    | MODEL_NOT_AVAILABLE |

  @ORCH-3090
  Scenario: An engine's model is found by its name behind hf: and file:
    Given an engine a
    And the file "pools.toml" with
      """
      [[pools]]
      id = "a"
      engine = "llamacpp"
      endpoint = "{engine a}"
      model = "org/model"
      """
    And a server with
      | ORCHD_CONFIG | {folder}/pools.toml |
    When I run task A with
      | model_ref | hf:org/model |
    And I run task B with
      | model_ref | file:/models/scripted.gguf |
    Then task A becomes completed
    And task B becomes completed

  @ORCH-3024
  Scenario: The same request under the same id is one job, and another one is refused
    Given a server
    When I submit task A of 3 tokens with
      | task_id | {uuid one} |
    Then the answer is 202
    When I submit task A of 3 tokens with
      | task_id | {uuid one} |
    Then the answer is 200
    And the answer has
      | job_id | {uuid one} |
    When I try to submit a task with
      | task_id | {uuid one} |
      | prompt  | Another    |
    Then the answer is 409 with code TASK_ID_CONFLICT
    And "/v2/tasks" soon shows
      | tasks | 1 of them |

  Scenario: An Idempotency-Key stands for an id that the request does not name
    Given a server
    And my requests carry
      | Idempotency-Key | order-66 |
    When I submit task A of 3 tokens
    And I submit task B of 3 tokens
    Then the answer is 200
    And the answer has
      | job_id | {A} |

  Scenario: Tasks are listed newest first, by state and by page
    Given a server
    When I run task A of 1 token
    And I run task B of 1 token
    And I run task C of 1 token
    And I get "/v2/tasks?state=completed&limit=2"
    Then the answer is 200
    And the answer has
      | tasks.0.job_id | {C} |
      | tasks.1.job_id | {B} |
      | tasks.2        | none |
    When I remember the "next_cursor" of the answer as cursor
    And I get "/v2/tasks?state=completed&limit=2&cursor={cursor}"
    Then the answer has
      | tasks.0.job_id | {A}  |
      | tasks.1        | none |
      | next_cursor    | none |
    When I get "/v2/tasks?state=running"
    Then the answer has
      | tasks | 0 of them |
    When I get "/v2/tasks?state=lost"
    Then the answer is 400 with code INVALID_PARAMS

  Scenario: Texts become vectors and are ranked
    Given a server
    When I run task A with
      | workload | embedding          |
      | prompt   | none               |
      | inputs   | ["a river", "sea"] |
    Then the last event of task A is "end" with
      | embeddings | 2 of them |
    When I run task B with
      | workload | rerank                     |
      | prompt   | water                      |
      | inputs   | ["a river", "sea", "hill"] |
    Then the last event of task B is "end" with
      | ranking | 3 of them |

  Scenario: A conversation is a task as well
    Given a server
    When I run task A of 4 tokens with
      | prompt   | none                                |
      | messages | [{"role": "user", "content": "hi"}] |
    Then the last event of task A is "end" with
      | tokens_out | 4 |

  @ORCH-3044
  Scenario Outline: The native API stands under its version alone
    Given a server
    When I get "<path>"
    Then the answer is 404 with code NOT_FOUND

    Examples:
      | path             |
      | /v1/tasks        |
      | /v1/replicasets  |
      | /v1/capabilities |
      | /v3/tasks        |
      | /tasks           |

  @ORCH-3044
  Scenario: The API tells its version
    Given a server
    When I get "/v2/meta/capabilities"
    Then the answer has
      | api_version | 2.0.0 |
    When I get "/v2/meta/version"
    Then the answer has
      | api_version    | 2.0.0 |
      | server_version | any   |

  @ORCH-3096
  Scenario: The whole API is documented by the server itself
    Given a server
    When I get "/openapi.json"
    Then the answer is 200
    And the answer has
      | openapi                                 | starts with 3.1 |
      | info.version                            | 2.0.0           |
      | paths./v2/tasks.post                    | any             |
      | paths./v2/tasks/{id}/events.get         | any             |
      | paths./v2/pools/{id}/drain.post    | any             |
      | paths./v2/nodes/register.post           | any             |
      | paths./v1/chat/completions.post         | any             |
      | paths./v1/tasks                         | none            |
    When I get "/docs"
    Then the answer is 200
    And the answer contains "/v2/tasks"

  Scenario: Every answer can be told from every other by its correlation id
    Given a server
    When I get "/nothing"
    Then the answer is 404
    And the answer has the headers
      | X-Correlation-Id | any |
    When my requests carry
      | X-Correlation-Id | mine-1 |
    And I get "/metrics"
    Then the answer has the headers
      | X-Correlation-Id | mine-1 |

  @ORCH-3331
  Scenario: A trace that a client belongs to goes on at the engine
    Given an engine a
    And a server
    And my requests carry
      | traceparent | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 |
    When I run task A
    Then the last request to engine a has the headers
      | traceparent  | starts with 00-4bf92f3577b34da6a3ce929d0e0e4736- |
      | x-request-id | {A}                                              |

  @ORCH-3331
  Scenario Outline: What is no sound traceparent goes nowhere
    Given an engine a
    And a server
    And my requests carry
      | traceparent | <value> |
    When I run task A
    Then the last request to engine a has the headers
      | traceparent | none |

    Examples:
      | value                                                   |
      | 00-00000000000000000000000000000000-00f067aa0ba902b7-01 |
      | 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01 |
      | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7    |
      | hello                                                   |
