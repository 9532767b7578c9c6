Feature: The agent of a node
  It starts engines as processes of its own, watches them, and tells the truth about them.

  @ORCH-3002
  Scenario: A pool is ready only after its engine loaded and made a token
    Given an agent whose model is "slow"
    Then the agent's pool soon shows
      | ready      | false |
      | slots_free | 0     |
    And the engine has made 0 tokens
    When the engine may load now
    Then the agent's pool soon shows
      | ready      | true |
      | slots_free | 2    |
    And the engine has made 1 token

  @ORCH-3003
  Scenario: An engine that cannot load is reported with its exit and its last words
    Given an agent whose model is "exits"
    Then the agent's pool soon shows
      | ready      | false              |
      | last_error | contains bad magic |
    And the agent's pool soon shows
      | last_error | starts with exit code 3 |

  @ORCH-3003
  Scenario: An engine that makes no token is never ready
    Given an agent whose model is "mute"
    Then the agent's pool soon shows
      | ready      | false                               |
      | last_error | starts with the first token failed: |

  @ORCH-3052
  Scenario: An engine sees the devices of its pool and no others
    Given an agent whose model is "good" and whose pool has
      """
      devices = "1"
      """
    Then the engine's env hold "CUDA_VISIBLE_DEVICES=1"

  @ORCH-3052
  Scenario: A pool cannot set another mask by its environment
    Given an agent whose model is "good" and whose pool has
      """
      devices = "1"
      env = { CUDA_VISIBLE_DEVICES = "0" }
      """
    Then the agent's pool soon shows
      | ready      | false                         |
      | last_error | contains CUDA_VISIBLE_DEVICES |
    And the engine was never started

  @ORCH-3440
  Scenario: No engine outlives an agent that is killed
    Given an agent whose model is "good"
    Then the agent's pool soon shows
      | ready | true |
    When the agent is killed
    Then the engine's process is gone

  @ORCH-3440
  Scenario: An agent that stops in order takes its engines along
    Given an agent whose model is "good"
    Then the agent's pool soon shows
      | ready | true |
    When the agent stops in order
    Then the engine's process is gone

  @ORCH-3441
  Scenario: A lost engine is noticed and started again
    Given an agent whose model is "good"
    Then the agent's pool soon shows
      | ready | true |
    When the engine is killed
    Then the agent's pool soon shows
      | ready      | false                          |
      | last_error | starts with killed by signal 9 |
    And the engine's process is another one
    And the agent's pool soon shows
      | ready | true |

  @ORCH-3442
  Scenario: An engine is told to keep all layers on its devices
    Given an agent whose model is "good"
    Then the engine's args hold "--n-gpu-layers 999"

  @ORCH-3442 @ORCH-3352
  Scenario: A flag that keeps something off the devices is refused by name
    Given an agent whose model is "good" and whose pool has
      """
      flags = ["--n-cpu-moe", "8"]
      """
    Then the agent's pool soon shows
      | ready      | false                |
      | last_error | contains --n-cpu-moe |
    And the engine was never started

  @ORCH-3443
  Scenario: A reload looks at the model before it touches the old engine
    Given an agent whose model is "good"
    Then the agent's pool soon shows
      | ready | true |
    When I post "http://{agent}/v2/pools/a/reload" with
      | new_model_ref | {folder}/nowhere.gguf |
    Then the answer is 409 with code MODEL_NOT_AVAILABLE
    And the agent's pool soon shows
      | ready    | true                |
      | model_id | {folder}/first.gguf |
    And the engine has made 1 token

  @ORCH-3443
  Scenario: A reload to a model that does not load brings the old one back
    Given an agent whose model is "good"
    And a model "bad.gguf" that is "exits"
    Then the agent's pool soon shows
      | ready | true |
    When I post "http://{agent}/v2/pools/a/reload" with
      | new_model_ref | {folder}/bad.gguf |
    Then the answer is 202
    And the agent's pool soon shows
      | operation.state | failed              |
      | operation.error | contains bad magic  |
      | ready           | true                |
      | model_id        | {folder}/first.gguf |

  @ORCH-3443
  Scenario: A reload serves the new model, also after the next start
    Given an agent whose model is "good"
    And a model "second.gguf" that is "good"
    Then the agent's pool soon shows
      | ready | true |
    When I post "http://{agent}/v2/pools/a/reload" with
      | new_model_ref | {folder}/second.gguf |
    Then the answer is 202
    And the agent's pool soon shows
      | operation.state | succeeded            |
      | ready           | true                 |
      | model_id        | {folder}/second.gguf |
    When the agent stops in order
    And the agent starts again
    Then the agent's pool soon shows
      | ready    | true                 |
      | model_id | {folder}/second.gguf |

  @ORCH-3443
  Scenario: An agent that dies in a reload comes back with the model that was ready last
    Given an agent whose model is "good"
    And a model "second.gguf" that is "slow"
    Then the agent's pool soon shows
      | ready | true |
    When I post "http://{agent}/v2/pools/a/reload" with
      | new_model_ref | {folder}/second.gguf |
    Then the answer is 202
    And the agent's pool soon shows
      | ready | false |
    When the agent is killed
    And the agent starts again
    Then the agent's pool soon shows
      | ready     | true                |
      | model_id  | {folder}/first.gguf |
      | operation | none                |

  @ORCH-3444
  Scenario: A node registers, tells at once what changed, and says farewell
    Given a server
    And an agent whose model is "slow"
    Then "/v2/nodes" soon shows
      | nodes.n1.status | online |
    And pool a soon shows
      | ready | false |
    When the engine may load now
    Then pool a soon shows
      | replicas.n1/a.ready | true |
    When I run task A with
      | model_ref | {folder}/first.gguf |
    Then task A becomes completed
    When the agent stops in order
    Then "/v2/nodes" soon shows
      | nodes | 0 of them |

  @ORCH-3444
  Scenario: A node that is not known any more registers again
    Given a server with
      | ORCHD_STORE_KIND | memory |
    And an agent whose model is "good"
    Then pool a soon shows
      | replicas.n1/a.ready | true |
    When I delete "/v2/nodes/n1"
    And the engine is killed
    Then "/v2/nodes" soon shows
      | nodes.n1.status | online |

  @ORCH-3445
  Scenario: A model with another digest is not loaded
    Given an agent whose model is "good" and whose pool has
      """
      model_digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
      """
    Then the agent's pool soon shows
      | ready      | false                           |
      | last_error | starts with UNTRUSTED_ARTIFACT: |
    And the engine was never started

  @ORCH-3446
  Scenario: What is missing for a pool's way of provisioning is named
    Given an agent whose model is "good" and whose pool has
      """
      provisioning = "container"
      container = { runtime = "no-such-runtime", image = "example.org/engine" }
      """
    Then the agent's pool soon shows
      | ready      | false                    |
      | last_error | contains no-such-runtime |
    And the engine was never started

  @ORCH-3316
  Scenario: What becomes of an engine is narrated
    Given an agent whose model is "good"
    Then the agent's pool soon shows
      | ready | true |
    And the agent soon narrates "ready"
