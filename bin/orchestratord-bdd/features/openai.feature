Feature: OpenAI's API
  Programs that were written for it move over by changing one URL.

  @ORCH-3200
  Scenario: A call is a task like any other
    Given a server
    When I post "/v1/chat/completions" with
      | model      | mock                                |
      | messages   | [{"role": "user", "content": "hi"}] |
      | max_tokens | 5                                   |
    Then the answer is 200
    And the answer has
      | object                    | chat.completion |
      | choices.0.message.role    | assistant       |
      | choices.0.finish_reason   | length          |
      | usage.completion_tokens   | 5               |
    When I remember the "X-Request-Id" of the answer as A
    Then task A becomes completed
    And the answer has
      | usage.tokens_out | 5 |
    When I get "/v2/tasks/{A}/explain"
    Then the answer is 200
    And the metrics soon say
      | orchd_tasks_dispatched_total{pool_id="default",outcome="completed"} | 1 |

  @ORCH-3200
  Scenario: Models are those of engines that are ready
    Given an engine a that speaks openai
    And a server
    When I get "/v1/models"
    Then the answer has
      | data.0.id | org/scripted |
      | data.1    | none         |
    When I get "/v1/models/org/other"
    Then the answer is 404 with code model_not_found

  @ORCH-3201
  Scenario: What a client sends reaches the engine as it stands
    Given an engine a that speaks openai
    And a server
    When I post "/v1/completions" with
      """
      {"model":"org/scripted","prompt":"p","temperature":0.70,"an_engines_own":{"x": [1,  2]},"stream":false,"user":"me"}
      """
    Then the answer is 200
    And the last request to engine a is
      """
      {"stream":true,"stream_options":{"include_usage":true},"model":"org/scripted","prompt":"p","temperature":0.70,"an_engines_own":{"x": [1,  2]},"user":"me"}
      """

  @ORCH-3201
  Scenario: An engine's events reach the client byte for byte
    Given an engine a that speaks openai
    And engine a will send these events
      """
      {"id":"x", "choices":[{"text":"\u00e9 \/","index":0, "own":1.50}],"z":[ ]}
      {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}
      {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}
      [DONE]
      """
    And a server
    When I post "/v1/completions" with
      | model  | scripted |
      | prompt | p        |
      | stream | true     |
    Then the answer is these events
      """
      {"id":"x", "choices":[{"text":"\u00e9 \/","index":0, "own":1.50}],"z":[ ]}
      {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}
      [DONE]
      """

  @ORCH-3202
  Scenario Outline: A wrong member is named in an error of the usual shape
    Given a server
    When I post "/v1/chat/completions" with
      | model    | mock                                |
      | messages | [{"role": "user", "content": "hi"}] |
      | <member> | <value>                             |
    Then the answer is <status>
    And the answer has
      | error.param   | <member>              |
      | error.type    | invalid_request_error |
      | error.message | starts with <member>: |
      | error.code    | any                   |

    Examples:
      | member      | value | status |
      | temperature | 2.1   | 400    |
      | n           | 0     | 400    |
      | max_tokens  | 0     | 400    |
      | messages    | []    | 400    |
      | stream      | "yes" | 400    |
      | model       | gpt-9 | 404    |

  @ORCH-3202
  Scenario: A call without the token is told so in the same shape
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When I post "/v1/chat/completions"
    Then the answer is 401 with code invalid_api_key
    And the answer has
      | error.type | authentication_error |

  @ORCH-3203
  Scenario: A call that finds no room is told when to come back
    Given an engine a
    And engine a will say "held" and stay
    And a server with
      | ORCHD_ADMISSION_CAPACITY | 1 |
    When I submit task A
    And engine a is busy with 1 task
    And I submit task B
    And I post "/v1/completions" with
      | model  | scripted |
      | prompt | p        |
    Then the answer is 429 with code rate_limit_exceeded
    And the answer has the headers
      | Retry-After    | at least 1    |
      | retry-after-ms | at least 1000 |
      | x-should-retry | true          |

  @ORCH-3204
  Scenario Outline: A call ends when its client leaves, and the engine with it
    Given an engine a that speaks openai
    And engine a will say "one" and stay
    And a server
    When I post "/v1/completions" and leave when engine a is busy, with
      | model  | scripted |
      | prompt | p        |
      | stream | <stream> |
    Then engine a sees its client leave
    And "/v2/tasks" soon shows
      | tasks.0.state | canceled |

    Examples:
      | stream |
      | true   |
      | false  |

  @ORCH-3205
  Scenario: A failure before the first event is a status
    Given an engine a that speaks openai
    And engine a will break before it says anything
    And a server
    When I post "/v1/completions" with
      | model  | scripted |
      | prompt | p        |
      | stream | true     |
    Then the answer is 502 with code worker_reset
    And the answer has the headers
      | x-should-retry | true |

  @ORCH-3205
  Scenario: A failure after the first event is an event, and no good end follows
    Given an engine a that speaks openai
    And engine a will say "one two" and break
    And a server
    When I post "/v1/completions" with
      | model  | scripted |
      | prompt | p        |
      | stream | true     |
    Then the answer is 200
    And the answer contains "worker_reset"
    And the answer does not contain "[DONE]"
