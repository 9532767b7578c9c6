Feature: Sessions and budgets
  Tasks that belong together stay together, and use no more than they may.

  @ORCH-3021 @ORCH-3022
  Scenario: A session is there from its first task until it is given up
    Given a server
    When I get "/v2/sessions/{uuid s}"
    Then the answer is 404
    When I run task A of 3 tokens with
      | session_id | {uuid s} |
    And I get "/v2/sessions/{uuid s}"
    Then the answer is 200
    And the answer has
      | session_id       | {uuid s}        |
      | ttl_ms_remaining | at least 500000 |
      | turns            | 8               |
      | turns_used       | 1               |
      | replica_id       | local/default   |
      | kv_warmth        | any             |
    When I delete "/v2/sessions/{uuid s}"
    Then the answer is 204
    When I get "/v2/sessions/{uuid s}"
    Then the answer is 404

  @ORCH-3023
  Scenario: A task that names no session has one of its own, which goes when it is given up
    Given an engine a
    And engine a will say "one" and stay
    And a server
    When I submit task A with
      | budget.tokens | 1000 |
    And I read 2 events of task A
    And I get "/v2/sessions/{A}"
    Then the answer has
      | turns_used              | 1   |
      | tokens_budget_remaining | any |
    When I delete "/v2/sessions/{A}"
    Then the answer is 204
    When I get "/v2/sessions/{A}"
    Then the answer is 404
    And task A becomes running

  @ORCH-3021
  Scenario: A session that had all its turns takes no further task until it is forgotten
    Given a server with
      | ORCHD_SESSIONS_TURNS_MAX | 1    |
      | ORCHD_SESSIONS_TTL_MS    | 1000 |
    When I run task A of 1 token with
      | session_id | {uuid s} |
    And I try to submit a task with
      | session_id | {uuid s} |
    Then the answer is 429 with code ADMISSION_REJECT
    And the answer has
      | policy_label | session-turns |
    And "/v2/sessions/{uuid s}" soon shows
      | code | NOT_FOUND |
    When I run task B of 1 token with
      | session_id | {uuid s} |
    Then task B becomes completed

  @ORCH-3009
  Scenario: A session stays on its replica while that has room, and does not wait for it
    Given an engine a
    And an engine b
    And a server
    When I run task A with
      | session_id                | {uuid s} |
      | placement.mode            | prefer   |
      | placement.prefer_pools    | ["b"]    |
    And I run task B with
      | session_id | {uuid s} |
    Then the event "started" of task B has
      | pool_id   | b    |
      | kv_warmth | true |
    Given engine b will say "held" and stay
    When I submit task C with
      | session_id | {uuid s} |
    And engine b is busy with 1 task
    And I run task D with
      | session_id | {uuid s} |
    Then the event "started" of task D has
      | pool_id     | a     |
      | kv_warmth   | false |
      | kv_migrated | false |

  @ORCH-3099 @ORCH-3100
  Scenario: A budget is reserved, told and settled by what was used
    Given a server
    When I submit task A of 3 tokens with
      | session_id     | {uuid s} |
      | budget.tokens  | 1000     |
      | budget.time_ms | 60000    |
      | budget.cost    | 2.5      |
    Then the answer has the headers
      | X-Budget-Tokens-Remaining  | at most 990   |
      | X-Budget-Time-Remaining-Ms | at most 60000 |
      | X-Budget-Cost-Remaining    | 2.5           |
    And the event "metrics" of task A has
      | tokens_budget_remaining  | at least 990 |
      | time_budget_remaining_ms | at most 60000 |
      | cost_budget_remaining    | 2.5          |
    When I get "/v2/sessions/{uuid s}"
    Then the answer has
      | tokens_budget_remaining | at least 990 |

  @ORCH-3099
  Scenario: What a budget cannot cover is refused, and the refusal names the limit
    Given a server
    When I try to submit a task with
      | budget.tokens | 50 |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message | starts with budget.tokens: |
    When I run task A of 12 tokens with
      | session_id    | {uuid s} |
      | budget.tokens | 90       |
    And I try to submit a task with
      | session_id    | {uuid s} |
    Then the answer is 429 with code ADMISSION_REJECT
    And the answer has
      | policy_label | session-budget |

  @ORCH-3099
  Scenario: A task whose session has no time left is ended
    Given an engine a
    And engine a will say "one" and stay
    And a server
    When I run task A with
      | budget.time_ms | 1200 |
    Then the last event of task A is "error" with
      | code | DECODE_TIMEOUT |
