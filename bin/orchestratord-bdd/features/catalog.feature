Feature: Catalog
  Models are what they say, or they are not used.

  @ORCH-3037
  Scenario: A model is registered, listed, shown, retired and deleted, and comes back after a restart
    Given an engine a
    And a server
    When I post "/v2/catalog/models" with
      | id        | org/ours |
      | model_ref | scripted |
    Then the answer is 201
    And the answer has
      | state | Active |
    When I post "/v2/catalog/models" with
      | id        | org/ours |
      | model_ref | scripted |
    Then the answer is 201
    When I post "/v2/catalog/models" with
      | id        | org/ours |
      | model_ref | other    |
    Then the answer is 409 with code MODEL_CONFLICT
    When I run task A with
      | model_ref | org/ours |
    Then task A becomes completed
    When I post "/v2/catalog/models/org/ours/state" with
      | state | Retired |
    Then the answer is 202
    When the server is killed
    And the server starts again
    And I get "/v2/catalog/models"
    Then the answer has
      | models.org/ours.state | Retired |
    When I try to submit a task with
      | model_ref | org/ours |
    Then the answer is 503 with code MODEL_NOT_AVAILABLE
    When I delete "/v2/catalog/models/org/ours"
    Then the answer is 204
    When I get "/v2/catalog/models/org/ours"
    Then the answer is 404

  @ORCH-3412
  Scenario Outline: An id or a digest that could be a path is refused by its name
    Given a server
    When I post "/v2/catalog/models" with
      | id        | m       |
      | model_ref | m       |
      | <field>   | <value> |
    Then the answer is 400 with code INVALID_PARAMS
    And the answer has
      | message | contains <field> |

    Examples:
      | field  | value            |
      | id     | ../etc           |
      | id     | Upper            |
      | id     | a//b             |
      | digest | sha256:00        |
      | digest | ../../etc/passwd |

  @ORCH-3412
  Scenario: An artifact's id is no way to a file
    Given a server
    When I get "/v2/artifacts/sha256:..%2f..%2fetc%2fpasswd"
    Then the answer is 404

  @ORCH-3091
  Scenario Outline: Only a regular file below a root is read
    Given a small model in "inside/m.gguf"
    And a link "inside/link.gguf" to "m.gguf"
    And a small model in "outside/m.gguf"
    And a server with
      | ORCHD_MODEL_ROOTS | {folder}/inside |
    When I post "/v2/catalog/models" with
      | id        | m                    |
      | model_ref | file:{folder}/<file> |
    And I post "/v2/catalog/models/m/verify"
    Then the answer is 202
    And the answer has
      | outcome | <outcome> |
      | reason  | <reason>  |

    Examples:
      | file             | outcome | reason        |
      | inside/m.gguf    | warn    | no_digest     |
      | inside/link.gguf | fail    | symlink       |
      | outside/m.gguf   | fail    | outside_roots |
      | inside/none.gguf | fail    | missing       |
      | inside           | fail    | not_a_file    |

  @ORCH-3413
  Scenario: A verification hashes the file, and a file that is another one is never placed on
    Given an engine a
    And a small model in "m.gguf"
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
    When I post "/v2/catalog/models" with
      | id        | m                    |
      | model_ref | file:{folder}/m.gguf |
      | digest    | {digest}             |
    And I post "/v2/catalog/models/m/verify"
    Then the answer has
      | outcome | warn     |
      | reason  | unsigned |
    Given the file "m.gguf" with
      """
      GGUF of somebody else
      """
    When I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | verification.outcome | fail     |
      | verification.reason  | mismatch |
    When I try to submit a task with
      | model_ref | m |
    Then the answer is 400 with code UNTRUSTED_ARTIFACT
    And engine a has been asked 0 times

  @ORCH-3414
  Scenario: Under strict trust only a model that was verified and signed is placed on
    Given an engine a
    And a small model in "m.gguf"
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
      | ORCHD_CATALOG_TRUST | strict   |
    When I post "/v2/catalog/models" with
      | id         | m                                  |
      | model_ref  | file:{folder}/m.gguf               |
      | digest     | {digest}                           |
      | signatures | [{"kind": "gpg", "value": "abc"}]  |
    Then the answer has
      | signatures.check | unchecked |
    When I post "/v2/catalog/models/m/verify"
    Then the answer has
      | outcome | pass |
    When I try to submit a task with
      | model_ref | m |
    Then the answer is 400 with code UNTRUSTED_ARTIFACT
    When I try to submit a task
    Then the answer is 400 with code UNTRUSTED_ARTIFACT
    And engine a has been asked 0 times

  @ORCH-3414
  Scenario: A signature of a trusted key is what strict trust asks for
    Given an engine a
    And a small model in "m.gguf"
    And a server with
      | ORCHD_MODEL_ROOTS | {folder}  |
      | ORCHD_CATALOG_TRUST | strict    |
      | ORCHD_CATALOG_KEYS  | ops:{key} |
    When I post "/v2/catalog/models" with
      | id         | m                                                                   |
      | model_ref  | file:{folder}/m.gguf                                                |
      | digest     | {digest}                                                            |
      | signatures | [{"kind": "ed25519", "key_id": "ops", "value": "{signature}"}]      |
    Then the answer has
      | signatures.check | valid |
    When I post "/v2/catalog/models/m/verify"
    Then the answer has
      | outcome | pass |
    When I try to submit a task with
      | model_ref | m |
    Then the answer is 503 with code MODEL_NOT_AVAILABLE

  @ORCH-3080
  Scenario: Nothing is fetched unless the operator allows it and the host is on the list
    Given a server
    When I post "/v2/catalog/models" with
      | id        | m                          |
      | model_ref | https://models.example/m   |
    And I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | verification.reason  | not_fetched                            |
      | verification.message | contains outbound access is off        |

  @ORCH-3080
  Scenario: An address that is not public is refused after it was looked up
    Given a server with
      | ORCHD_CATALOG_OUTBOUND | allow     |
      | ORCHD_CATALOG_HOSTS    | localhost |
    When I post "/v2/catalog/models" with
      | id        | m                   |
      | model_ref | https://localhost/m |
    And I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | verification.reason  | not_fetched                          |
      | verification.message | contains no connection is allowed    |

  @ORCH-3080
  Scenario: A host that is not on the list is not asked
    Given a server with
      | ORCHD_CATALOG_OUTBOUND | allow          |
      | ORCHD_CATALOG_HOSTS    | models.example |
    When I post "/v2/catalog/models" with
      | id        | m                       |
      | model_ref | https://other.example/m |
    And I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | verification.reason  | not_fetched            |
      | verification.message | contains other.example |
