Feature: Access
  Each plane of the API has its tokens, and nobody gets in without one where one is asked for.

  @AUTH-1002
  Scenario: The log names who came in by a few digits of the token's digest
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    And I hold the token "0123456789abcdef0123456789abcdef"
    When I submit task A of 1 token
    Then the log soon has a line with
      | msg      | task accepted |
      | job_id   | {A}           |
      | identity | token:3eb1bd  |

  @AUTH-1002
  Scenario: Where no token is asked for, the peer is this machine
    Given a server
    When I submit task A of 1 token
    Then the log soon has a line with
      | msg      | task accepted |
      | identity | localhost     |

  @AUTH-1005
  Scenario Outline: Only a well-formed bearer token opens a guarded route
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When my requests carry
      | Authorization | <credential> |
    And I get "/v2/tasks"
    Then the answer is 401 with code <code>
    And the answer has the headers
      | WWW-Authenticate | Bearer |

    Examples:
      | credential                                       | code      |
      | Bearer fedcba9876543210fedcba9876543210          | BAD_TOKEN |
      | bearer 0123456789abcdef0123456789abcdef          | BAD_TOKEN |
      | Basic 0123456789abcdef0123456789abcdef           | BAD_TOKEN |
      | 0123456789abcdef0123456789abcdef                 | BAD_TOKEN |
      | Bearer 0123456789abcdef0123456789abcdef0         | BAD_TOKEN |
      | Bearer 0123456789abcdef0123456789abcde           | BAD_TOKEN |

  @AUTH-1005
  Scenario: The right token opens the data plane, and without one it is closed
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When I get "/v2/tasks"
    Then the answer is 401 with code MISSING_TOKEN
    When I hold the token "0123456789abcdef0123456789abcdef"
    And I get "/v2/tasks"
    Then the answer is 200

  @AUTH-1003
  Scenario: A peer on this machine may leave the token out only when told so, and not through a proxy
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
      | AUTH_OPTIONAL    | true                             |
    When I get "/v2/tasks"
    Then the answer is 200
    When my requests carry
      | X-Forwarded-For | 10.0.0.1 |
    And I get "/v2/tasks"
    Then the answer is 401 with code MISSING_TOKEN
    When I hold the token "nope"
    And I get "/v2/tasks"
    Then the answer is 401 with code BAD_TOKEN

  @AUTH-1008
  Scenario: Trust in a proxy on this machine is what the operator turns on
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
      | AUTH_OPTIONAL    | true                             |
      | TRUST_PROXY_AUTH | true                             |
    When my requests carry
      | X-Forwarded-For | 10.0.0.1 |
    And I get "/v2/tasks"
    Then the answer is 200

  @AUTH-1004
  Scenario: A server without a token does not listen where others reach it
    Given a server that does not start with
      | ORCHD_BIND_ADDR | 0.0.0.0:0 |
    Then its exit code is 78
    And it says "ORCHD_BIND_ADDR"

  @AUTH-1006 @AUTH-1007
  Scenario: A token that is too short is refused and not repeated
    Given a server that does not start with
      | LLORCH_API_TOKEN | a-short-secret |
    Then its exit code is 78
    And it says "LLORCH_API_TOKEN"
    And the log never says "a-short-secret"

  @AUTH-1007
  Scenario: No token stands in the log or in an answer
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When I hold the token "fedcba9876543210fedcba9876543210"
    And I get "/v2/tasks"
    Then the answer is 401
    And the answer does not contain "fedcba98"
    When I hold the token "0123456789abcdef0123456789abcdef"
    And I run task A of 3 tokens with
      | prompt | my secret wish |
    Then the log never says "0123456789abcdef"
    And the log never says "fedcba98"
    And the log never says "secret wish"

  @AUTH-1009
  Scenario Outline: What a path looks like opens nothing
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When I get "<path>"
    Then the answer is <status>

    Examples:
      | path                    | status |
      | /health                 | 200    |
      | /v2/tasks/health        | 401    |
      | /v2/pools/ready/health  | 401    |
      | /v2/artifacts/metrics   | 401    |
      | /health/../v2/tasks     | 401    |
      | //health                | 404    |

  @AUTH-1010
  Scenario: A plane takes its own tokens, and tells a token of another plane apart from a wrong one
    Given a server with
      | LLORCH_API_TOKEN     | data-data-data-data-data-data-data-data |
      | LLORCH_CONTROL_TOKEN | ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl |
      | LLORCH_NODE_TOKEN    | node-node-node-node-node-node-node-node |
    When I hold the token "data-data-data-data-data-data-data-data"
    And I get "/v2/tasks"
    Then the answer is 200
    When I post "/v2/pools/default/resume"
    Then the answer is 403 with code FORBIDDEN
    When I hold the token "ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl"
    And I get "/v2/nodes"
    Then the answer is 200
    When I get "/v2/tasks"
    Then the answer is 403 with code FORBIDDEN
    When I post "/v2/nodes/register"
    Then the answer is 403 with code FORBIDDEN
    When I hold the token "node-node-node-node-node-node-node-node"
    And I post "/v2/nodes/register"
    Then the answer is 400
    And the metrics soon say
      | orchd_auth_failures_total{reason="wrong_plane"} | 3 |

  @AUTH-1011
  Scenario: Wrong tokens from this machine lock nobody out
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
    When I hold the token "nope"
    And I get "/v2/tasks" 40 times
    Then the answer is 401 with code BAD_TOKEN
    When I hold the token "0123456789abcdef0123456789abcdef"
    And I get "/v2/tasks"
    Then the answer is 200

  @AUTH-1011
  Scenario: Wrong tokens from another address lock it out, the right one included
    Given a server with
      | LLORCH_API_TOKEN | 0123456789abcdef0123456789abcdef |
      | ORCHD_BIND_ADDR  | 0.0.0.0:0                        |
    And I call from another address than loopback
    When I hold the token "nope"
    And I get "/v2/tasks" 31 times
    And I hold the token "0123456789abcdef0123456789abcdef"
    And I get "/v2/tasks"
    Then the answer is 429 with code TOO_MANY_FAILURES
    And the answer has the headers
      | Retry-After | at least 1 |
    When I get "/health"
    Then the answer is 200

  @AUTH-1012
  Scenario: With a certificate the server speaks TLS and nothing else
    Given a certificate in "cert.pem" with its key in "key.pem"
    And a server, not ready yet with
      | ORCHD_TLS_CERT_FILE | {folder}/cert.pem |
      | ORCHD_TLS_KEY_FILE  | {folder}/key.pem  |
    When I get "/health" over TLS
    Then the answer is 200
    And a plain request gets no answer

  @AUTH-1012
  Scenario: With an authority for nodes a node must show a certificate beside its token
    Given a certificate in "cert.pem" with its key in "key.pem"
    And a server, not ready yet with
      | LLORCH_API_TOKEN         | 0123456789abcdef0123456789abcdef |
      | ORCHD_TLS_CERT_FILE      | {folder}/cert.pem                |
      | ORCHD_TLS_KEY_FILE       | {folder}/key.pem                 |
      | ORCHD_TLS_CLIENT_CA_FILE | {folder}/cert.pem                |
    And I hold the token "0123456789abcdef0123456789abcdef"
    When I get "/v2/tasks" over TLS
    Then the answer is 200
    When I post "/v2/nodes/register" over TLS
    Then the answer is 403
    And the answer contains "must show a certificate"

  @AUTH-1012
  Scenario: A certificate that cannot be used refuses the start
    Given a certificate in "cert.pem" with its key in "key.pem"
    And a server that does not start with
      | ORCHD_TLS_CERT_FILE | {folder}/key.pem |
      | ORCHD_TLS_KEY_FILE  | {folder}/key.pem |
    Then its exit code is 78
    And it says "key.pem holds no certificate"
