import { connect } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { request } from "undici";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { echoes, INGRESS, serverOn, WAIT } from "./edge.ts";
import { testMesh, type TestMesh } from "./mesh.ts";

describe("what stands before a gateway, over real processes", () => {
  let mesh: TestMesh;
  const topology = (settings: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    defaultConfig:
      gatewayTopology: ${settings}
`;

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml": echoes,
      "gateway.yaml": INGRESS,
      "mesh.yaml": topology("{ numTrustedProxies: 1 }"),
      "policy.yaml": `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: office, namespace: istio-system }
spec:
  selector: { matchLabels: { istio: ingressgateway } }
  action: ALLOW
  rules: [{ from: [{ source: { remoteIpBlocks: [203.0.113.0/24] } }], to: [{ operation: { hosts: [plain.example.com] } }] }]
`,
    });
  });

  async function forwarded(address: string): Promise<number> {
    const { bind } = serverOn(mesh, "istio-ingressgateway", 80);
    const response = await request(`http://${bind.address}:${bind.port}/`, {
      headers: { host: "plain.example.com", "x-forwarded-for": address },
    });
    await response.body.dump();
    return response.statusCode;
  }

  test("with a trusted proxy before it, policies see the address that this proxy wrote", async () => {
    expect(await forwarded("203.0.113.9")).toBe(200);
    expect(await forwarded("198.51.100.1")).toBe(403);
    expect(await forwarded("203.0.113.9, 198.51.100.1")).toBe(403);
  });

  test("a trusted proxy that ended TLS is believed: no redirect", async () => {
    const { bind } = serverOn(mesh, "istio-ingressgateway", 8081);
    const status = async (headers: Readonly<Record<string, string>>): Promise<number> => {
      const response = await request(`http://${bind.address}:${bind.port}/`, {
        headers: { host: "plain.example.com", "x-forwarded-for": "203.0.113.9", ...headers },
      });
      await response.body.dump();
      return response.statusCode;
    };
    expect(await status({})).toBe(301);
    expect(await status({ "x-forwarded-proto": "https" })).toBe(200);
  });

  /** A load balancer that says by the PROXY protocol who calls. */
  function proxied(head: string): Promise<string> {
    const { bind } = serverOn(mesh, "istio-ingressgateway", 80);
    return new Promise((resolve) => {
      let text = "";
      const socket = connect({ host: bind.address, port: bind.port }, () => {
        socket.write(`${head}GET / HTTP/1.1\r\nhost: plain.example.com\r\nconnection: close\r\n\r\n`);
      });
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(text.slice(9, 12)));
    });
  }

  test("with the PROXY protocol the address is that of the header, and nobody comes in without one", async () => {
    mesh.write("mesh.yaml", topology("{ proxyProtocol: {} }"));
    await vi.waitFor(async () => {
      expect(await proxied("PROXY TCP4 203.0.113.9 127.0.0.1 1111 80\r\n")).toBe("200");
    }, WAIT);
    expect(await proxied("PROXY TCP4 198.51.100.1 127.0.0.1 1111 80\r\n")).toBe("403");
    expect(await proxied("")).toBe("");
  });
});

describe("tokens at a gateway, over real processes", () => {
  let mesh: TestMesh;
  let signingKey: CryptoKey;

  beforeAll(async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256");
    signingKey = privateKey;
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "one", alg: "RS256" }] });
    const authentication = {
      apiVersion: "security.istio.io/v1",
      kind: "RequestAuthentication",
      metadata: { name: "edge", namespace: "istio-system" },
      spec: {
        selector: { matchLabels: { istio: "ingressgateway" } },
        jwtRules: [{ issuer: "issuer.example.com", jwks }],
      },
    };
    mesh = await testMesh({
      "workloads.yaml": echoes,
      "gateway.yaml": INGRESS,
      "authentication.yaml": JSON.stringify(authentication),
      "claims.yaml": `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: claims }
spec:
  hosts: [claims.example.com]
  gateways: [istio-system/edge]
  http:
  - match: [{ headers: { "@request.auth.claims[example.com/role]": { exact: admin } } }]
    route: [{ destination: { host: echo, subset: v2 } }]
  - match: [{ headers: { "@request.auth.claims.groups": { exact: users } }, withoutHeaders: { "@request.auth.claims.blocked": { exact: "yes" } } }]
    route: [{ destination: { host: echo, subset: v1 } }]
`,
      "hosts.yaml": `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
`,
    });
  });

  async function answered(claims?: Readonly<Record<string, unknown>>, headers = {}): Promise<string> {
    const token =
      claims === undefined
        ? undefined
        : await new SignJWT({ ...claims })
            .setProtectedHeader({ alg: "RS256", kid: "one" })
            .setIssuer("issuer.example.com")
            .setExpirationTime("1h")
            .sign(signingKey);
    const { bind } = serverOn(mesh, "istio-ingressgateway", 80);
    const response = await request(`http://${bind.address}:${bind.port}/`, {
      headers: {
        host: "claims.example.com",
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    const body = await response.body.text();
    return /echo-v\d/.exec(body)?.[0] ?? String(response.statusCode);
  }

  test("claims of a checked token decide where a request goes, whatever the client's headers say", async () => {
    expect(await answered({ "example.com/role": "admin" })).toBe("echo-v2");
    expect(await answered({ groups: ["guests", "users"] })).toBe("echo-v1");
    expect(await answered({ groups: ["users"], blocked: "yes" })).toBe("404");
    expect(await answered({ "example.com/role": "guest" })).toBe("404");
    expect(await answered(undefined, { role: "admin", groups: "users" })).toBe("404");
    expect(await answered(undefined, { authorization: "Bearer nonsense" })).toBe("401");
  });
});
