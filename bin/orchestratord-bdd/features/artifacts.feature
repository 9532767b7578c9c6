Feature: Artifacts
  What tasks leave behind is kept, found again, and never answered wrong.

  @ORCH-3416
  Scenario: An artifact is known by its content
    Given a server
    When I post "/v2/artifacts" with
      | kind    | plan    |
      | content | do this |
    Then the answer is 201
    When I remember the "id" of the answer as artifact
    And I post "/v2/artifacts" with
      | kind    | plan    |
      | content | do this |
    Then the answer has
      | id | {artifact} |
    When the server is killed
    And the server starts again
    And I get "/v2/artifacts/{artifact}"
    Then the answer is 200
    And the answer has
      | content | do this |

  @ORCH-3098
  Scenario Outline: An artifact has a kind, and is found by it and by its task, also after a restart
    Given a server
    When I run task A of 1 token
    And I post "/v2/artifacts" with
      | kind    | <kind>          |
      | content | a <kind> of use |
      | job_id  | {A}             |
    Then the answer is 201
    When I remember the "id" of the answer as artifact
    And the server is killed
    And the server starts again
    And I get "/v2/artifacts?job_id={A}&kind=<kind>"
    Then the answer has
      | artifacts.id | {artifact} |
    When I get "/v2/artifacts/{artifact}"
    Then the answer has
      | content | a <kind> of use |
      | jobs    | ["{A}"]         |

    Examples:
      | kind       |
      | plan       |
      | summary    |
      | diff       |
      | trace      |
      | transcript |
      | logs       |
      | other      |

  @ORCH-3098
  Scenario: No other kind is known
    Given a server
    When I post "/v2/artifacts" with
      | kind    | poem |
      | content | x    |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message | contains kind |

  @ORCH-3416
  Scenario: The oldest artifacts make room within the quota
    Given a server with
      | ORCHD_ARTIFACTS_QUOTA_BYTES | 4096 |
    When I post "/v2/artifacts" with 1500 bytes of "a"
    And I remember the "id" of the answer as oldest
    And I post "/v2/artifacts" with 1500 bytes of "b"
    And I post "/v2/artifacts" with 1500 bytes of "c"
    And I remember the "id" of the answer as latest
    And I get "/v2/artifacts/{oldest}"
    Then the answer is 404
    When I get "/v2/artifacts/{latest}"
    Then the answer is 200
    When I post "/v2/artifacts" with 5000 bytes of "d"
    Then the answer is 413 with code PAYLOAD_TOO_LARGE

  @ORCH-3416
  Scenario: A damaged artifact is never answered
    Given a server
    When I post "/v2/artifacts" with
      | kind    | summary       |
      | content | all went well |
    And I remember the "id" of the answer as artifact
    And every file below "state/artifacts" is damaged
    And I get "/v2/artifacts/{artifact}"
    Then the answer is 404
    And the answer does not contain "went well"

  @ORCH-3418
  Scenario: A task that ended leaves a transcript without its prompt
    Given a server
    When I run task A of 3 tokens with
      | prompt | a wish that is mine alone |
    Then "/v2/artifacts?job_id={A}&kind=transcript" soon shows
      | artifacts | 1 of them |
    When I remember the "artifacts.0.id" of the answer as transcript
    And I get "/v2/artifacts/{transcript}"
    Then the answer contains "{A}"
    And the answer does not contain "mine alone"

  @ORCH-3418
  Scenario: An operator may keep prompts, or no transcripts at all
    Given a server with
      | ORCHD_ARTIFACTS_TRANSCRIPTS | on |
    When I run task A of 3 tokens with
      | prompt | a wish that is mine alone |
    Then "/v2/artifacts?job_id={A}" soon shows
      | artifacts | 1 of them |
    When I remember the "artifacts.0.id" of the answer as transcript
    And I get "/v2/artifacts/{transcript}"
    Then the answer contains "mine alone"
    When the server stops in order
    And the server starts again with
      | ORCHD_ARTIFACTS_TRANSCRIPTS | off |
    And I run task B of 3 tokens
    And the server stops in order
    And the server starts again
    And I get "/v2/artifacts?job_id={B}"
    Then the answer has
      | artifacts | 0 of them |

  Scenario: A server that keeps nothing says that it keeps no artifacts
    Given a server with
      | ORCHD_STORE_KIND | memory |
    When I post "/v2/artifacts" with
      | kind    | plan |
      | content | x    |
    Then the answer is 503 with code STORAGE_UNAVAILABLE
