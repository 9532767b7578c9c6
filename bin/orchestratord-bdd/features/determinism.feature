Feature: Determinism
  The same request is the same text, and an engine that is lost takes nothing back.

  @ORCH-3045
  Scenario: The same prompt and seed give the same text
    Given a server
    When I run task A of 8 tokens with
      | seed | 7 |
    And I run task B of 8 tokens with
      | seed | 7 |
    And I run task C of 8 tokens with
      | seed | 8 |
    Then the texts of tasks A and B are the same
    And the texts of tasks A and C are different

  @ORCH-3045
  Scenario: An engine gets a seed by default, and none when the task asks for best effort
    Given an engine a
    And a server
    When I run task A
    Then the last request to engine a has
      | seed | at least 0 |
    When I run task B with
      | determinism | best_effort |
    Then the last request to engine a has
      | seed | none |

  @ORCH-3030
  Scenario: A task whose engine is lost begins anew where it asks for that, and readers are told
    Given an engine a
    And an engine b
    And engine a will say "one two" and break
    And engine b will say "three four"
    And a server
    When I run task A with
      | on_engine_loss         | restart |
      | placement.mode         | prefer  |
      | placement.prefer_pools | ["a"]   |
    Then the events of task A are "started token token started token token metrics end"
    And the event "started" of task A has
      | discard_before_id | 3       |
      | recovery          | restart |
      | attempt           | 2       |
    And the text of task A is " three four"
    And the last event of task A is "end" with
      | recovery.mode  | restart |
      | recovery.exact | true    |

  @ORCH-3030
  Scenario: A seeded task is said again by another engine, checked, and gone on with
    Given an engine a
    And an engine b
    And engine a will say "one two" and break
    And engine b will say "one two three"
    And a server
    When I run task A with
      | on_engine_loss         | continue |
      | placement.mode         | prefer   |
      | placement.prefer_pools | ["a"]    |
    Then the text of task A is " one two three"
    And the last event of task A is "end" with
      | recovery.mode  | replay |
      | recovery.exact | true   |

  @ORCH-3030
  Scenario: Without a wish of its own a task ends with its engine
    Given an engine a
    And an engine b
    And engine a will say "one two" and break
    And a server
    When I run task A with
      | placement.mode         | prefer |
      | placement.prefer_pools | ["a"]  |
    Then the last event of task A is "error" with
      | code       | WORKER_RESET |
      | retriable  | true         |
      | tokens_out | 2            |
    And engine b has been asked 0 times
