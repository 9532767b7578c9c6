Feature: GPU policy
  Models stay in the memory of GPUs, and what does not fit is told before it waits.

  @ORCH-3011
  Scenario: A pool on the CPU gets no work by default
    Given the file "pools.toml" with
      """
      [[pools]]
      id = "default"
      engine = "mock"
      device = "cpu"
      """
    And a server, not ready yet with
      | ORCHD_CONFIG | {folder}/pools.toml |
    When I try to submit a task
    Then the answer is 503 with code POOL_UNAVAILABLE
    And the answer has
      | retriable | false |

  @ORCH-3011 @ORCH-3350
  Scenario: An operator may allow the CPU, and is warned
    Given the file "pools.toml" with
      """
      [[pools]]
      id = "default"
      engine = "mock"
      device = "cpu"
      """
    And a server with
      | ORCHD_CONFIG     | {folder}/pools.toml |
      | ORCHD_GPU_POLICY | allow-cpu           |
    When I run task A of 3 tokens
    Then task A becomes completed
    And the log soon has a line with
      | level   | warn                          |
      | pool_id | default                       |
      | msg     | contains for development only |

  @ORCH-3420 @ORCH-3351
  Scenario: A task whose model fits no memory is refused with the numbers
    Given a small model in "m.gguf"
    And a node gpu1 with pool p
    And node gpu1 reports
      | model_id         | file:{folder}/m.gguf |
      | vram_free_bytes  | 104857600            |
      | vram_total_bytes | 209715200            |
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
    When node gpu1 joins
    And I post "/v2/catalog/models" with
      | id        | mine/m               |
      | model_ref | file:{folder}/m.gguf |
    And I post "/v2/catalog/models/mine/m/verify"
    Then "/v2/catalog/models/mine/m" soon shows
      | vram | any |
    When I try to submit a task with
      | model_ref | mine/m |
    Then the answer is 503 with code POOL_UNAVAILABLE
    And the answer has
      | retriable | false              |
      | message   | contains 209715200 |
    When node gpu1 reports
      | vram_total_bytes | 4294967296 |
    And node gpu1 joins
    And I run task A with
      | model_ref | mine/m |
    Then task A becomes completed

  @ORCH-3415
  Scenario: What a model needs is read from its header
    Given a small model in "m.gguf"
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
    When I post "/v2/catalog/models" with
      | id        | m                    |
      | model_ref | file:{folder}/m.gguf |
    And I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | header.format      | gguf   |
      | header.layers      | 2      |
      | vram.weights_bytes | 208    |
      | vram.kv_bytes      | 524288 |
      | vram.ctx           | 2048   |
      | vram.total_bytes   | any    |

  @ORCH-3415
  Scenario: A header that says more than its file holds is no header
    Given the file "m.gguf" with
      """
      GGUF and nothing that follows from it
      """
    And a server with
      | ORCHD_MODEL_ROOTS | {folder} |
    When I post "/v2/catalog/models" with
      | id        | m                    |
      | model_ref | file:{folder}/m.gguf |
    And I post "/v2/catalog/models/m/verify"
    Then "/v2/catalog/models/m" soon shows
      | verification | any  |
      | vram         | none |
