import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { connect as http2Connect } from "node:http2";
import { createServer as createHttpsServer, type Server } from "node:https";
import { connect, type AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import { workloadTable } from "#cli/local/console.ts";
import type { RunningServer } from "#cli/local/mesh-file.ts";
import { deployment, destinationRule, service, testMesh, versions, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };

const web = testAuthority("example.com");
const clients = testAuthority("clients.example.com");
const HOSTS = [
  "simple.example.com",
  "mutual.example.com",
  "term.example.com",
  "external.example.com",
  "pass.example.com",
  "optional.example.com",
];

interface Pem {
  readonly certificateChain: string;
  readonly privateKey: string;
}

function secret(name: string, { certificateChain, privateKey }: Pem, ca?: string): string {
  const data = { "tls.crt": certificateChain, "tls.key": privateKey, ...(ca !== undefined && { "ca.crt": ca }) };
  const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
  const object = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "istio-system" },
    type: "kubernetes.io/tls",
    data: Object.fromEntries(encoded),
  };
  return `${JSON.stringify(object)}\n---\n`;
}

const INGRESS = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
  - { port: { number: 80, name: http, protocol: HTTP }, hosts: ["plain.example.com"] }
  - { port: { number: 8081, name: http-redirect, protocol: HTTP }, hosts: ["*"], tls: { httpsRedirect: true } }
  - { port: { number: 443, name: simple, protocol: HTTPS }, hosts: [simple.example.com], tls: { mode: SIMPLE, credentialName: simple } }
  - { port: { number: 443, name: mutual, protocol: HTTPS }, hosts: [mutual.example.com], tls: { mode: MUTUAL, credentialName: mutual } }
  - { port: { number: 443, name: optional, protocol: HTTPS }, hosts: [optional.example.com], tls: { mode: OPTIONAL_MUTUAL, credentialName: mutual, minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384, bogus] } }
  - { port: { number: 443, name: missing, protocol: HTTPS }, hosts: [missing.example.com], tls: { mode: SIMPLE, credentialName: not-there } }
  - { port: { number: 443, name: pass, protocol: TLS }, hosts: [pass.example.com], tls: { mode: PASSTHROUGH } }
  - { port: { number: 9000, name: tcp, protocol: TCP }, hosts: ["*"] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [plain.example.com, simple.example.com, mutual.example.com, optional.example.com, missing.example.com]
  gateways: [istio-system/edge]
  http:
  - { match: [{ uri: { prefix: /v2 } }], route: [{ destination: { host: echo, subset: v2 } }] }
  - { match: [{ uri: { exact: /move } }], redirect: { uri: /moved } }
  - { route: [{ destination: { host: echo, subset: v1 } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: pass }
spec:
  hosts: [pass.example.com]
  gateways: [istio-system/edge]
  tls: [{ match: [{ sniHosts: [pass.example.com] }], route: [{ destination: { host: secure } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: tcp }
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  tcp: [{ match: [{ port: 9000 }], route: [{ destination: { host: echo, subset: v1 } }] }]
---
`;

function route(name: string, host: string, match: string, subset: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec:
  hosts: [${host}]
  gateways: [istio-system/edge]
  http: [{ match: [${match}], route: [{ destination: { host: echo, subset: ${subset} } }] }]
`;
}

const echoes =
  deployment("client", { port: undefined }) +
  deployment("echo-v1", { app: "echo", version: "v1" }) +
  deployment("echo-v2", { app: "echo", version: "v2" }) +
  service("echo") +
  destinationRule("echo", versions);

/** The gateway's server on a port, as the mesh file tells it. */
function serverOn(mesh: TestMesh, gateway: string, port: number): RunningServer {
  const server = mesh.workload(gateway).servers?.find((candidate) => candidate.port === port);
  if (server === undefined) throw new Error(`${gateway} has nothing on port ${port}`);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

interface Client {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A client outside the mesh. */
async function ask(server: RunningServer, url: string, client?: Client): Promise<Answer> {
  const { host, hostname, pathname } = new URL(url);
  const { address, port } = server.bind;
  const agent = new Agent(client === undefined ? {} : { connect: { servername: hostname, ...client } });
  try {
    const scheme = client === undefined ? "http" : "https";
    const response = await request(`${scheme}://${address}:${port}${pathname}`, {
      headers: { host },
      dispatcher: agent,
      headersTimeout: 5000,
    });
    return { status: response.statusCode, headers: response.headers, body: await response.body.text() };
  } finally {
    await agent.destroy();
  }
}

/** The certificate that a gateway shows for a name. */
function certificateFor({ bind }: RunningServer, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = tlsConnect({ host: bind.address, port: bind.port, servername, ca: web.rootPem }, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

function listening(server: Server | ReturnType<typeof createTlsServer>): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

describe("an ingress gateway, over real processes", () => {
  let mesh: TestMesh;
  let secure: ReturnType<typeof createTlsServer>;

  beforeAll(async () => {
    const identity = web.server(HOSTS);
    secure = createTlsServer({ key: identity.privateKey, cert: identity.certificateChain }, (socket) => {
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret");
    });
    const port = await listening(secure);
    mesh = await testMesh({
      "workloads.yaml":
        echoes +
        deployment("secure", { port: 8443 }) +
        service("secure", { portName: "tls", port: 443, targetPort: 8443 }),
      "local.yaml": `{ apiVersion: glassmesh.dev/v1alpha1, kind: LocalMesh, metadata: { name: m }, spec: { workloads: { secure: { address: "127.0.0.1:${port}" } } } }`,
      "secrets.yaml": secret("simple", web.server(HOSTS)) + secret("mutual", web.server(HOSTS), clients.rootPem),
      "gateway.yaml": INGRESS,
    });
  });
  afterAll(() => void secure.close());

  test("a Gateway that no workload serves gets a gateway as Istio installs it, with its Service and its ports", () => {
    const { name, namespace, servers, sidecar } = mesh.workload("istio-ingressgateway");
    expect({ name, namespace }).toEqual({ name: "istio-ingressgateway", namespace: "istio-system" });
    expect(sidecar?.spiffeId).toBe("spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account");
    expect(new Set(servers?.map(({ port, listenPort }) => `${port} → ${listenPort}`))).toEqual(
      new Set(["80 → 8080", "8081 → 8081", "443 → 8443", "9000 → 9000"]),
    );
  });

  test("HTTP is routed by host and path; an unknown host is 404", async () => {
    expect(await mesh.call("gateway:istio-ingressgateway", "http://plain.example.com/", "-n", "5")).toMatchObject({
      statuses: { "200": 5 },
      workloads: { "echo-v1": 5 },
    });
    expect(await mesh.call("gateway:istio-ingressgateway", "http://plain.example.com/v2")).toMatchObject({
      workloads: { "echo-v2": 1 },
    });
    expect(await mesh.call("gateway:istio-ingressgateway", "http://unknown.example.com/")).toMatchObject({
      statuses: { "404": 1 },
      flags: { NR: 1 },
    });
    const moved = await ask(serverOn(mesh, "istio-ingressgateway", 80), "http://plain.example.com/move");
    expect(moved).toMatchObject({ status: 301, headers: { location: "http://plain.example.com/moved" } });
  });

  test("the gateway speaks mutual TLS to workloads, as itself, and tells who called", async () => {
    const { body } = await ask(serverOn(mesh, "istio-ingressgateway", 80), "http://plain.example.com/");
    const { headers } = JSON.parse(body) as { readonly headers: Readonly<Record<string, string>> };
    expect(headers["x-forwarded-client-cert"]).toMatch(
      /URI=spiffe:\/\/cluster\.local\/ns\/istio-system\/sa\/istio-ingress/,
    );
    // From a loopback address Envoy names the machine's own instead.
    expect(headers["x-forwarded-for"]).toMatch(/^[\d.]+$/);
    expect(headers["x-forwarded-proto"]).toBe("http");
  });

  test("httpsRedirect answers 301 without any route", async () => {
    const { status, headers } = await ask(serverOn(mesh, "istio-ingressgateway", 8081), "http://simple.example.com/a");
    expect({ status, location: headers["location"] }).toEqual({
      status: 301,
      location: "https://simple.example.com/a",
    });
  });

  test("SIMPLE: the Secret's certificate, by SNI", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    const { status, body } = await ask(server, "https://simple.example.com/", { ca: web.rootPem });
    expect(status).toBe(200);
    expect((JSON.parse(body) as { headers: Record<string, string> }).headers["x-forwarded-proto"]).toBe("https");
    await expect(ask(server, "https://nobody.example.com/", { ca: web.rootPem })).rejects.toThrow();
  });

  test("HTTP/2 by ALPN, and HTTP/1.1 for who asks for nothing", async () => {
    const { bind } = serverOn(mesh, "istio-ingressgateway", 443);
    const session = http2Connect(`https://${bind.address}:${bind.port}`, {
      servername: "simple.example.com",
      ca: web.rootPem,
    });
    const status = await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":path": "/", ":authority": "simple.example.com" });
      stream.on("response", (headers) => resolve(headers[":status"]));
      stream.on("error", reject);
    });
    expect([session.alpnProtocol, status]).toEqual(["h2", 200]);
    session.destroy();
  });

  test("MUTUAL: only clients with a certificate of the Secret's CA", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    const own = clients.server(["client"]);
    const foreign = web.server(["client"]);
    const as = (identity: Pem): Client => ({
      ca: web.rootPem,
      cert: identity.certificateChain,
      key: identity.privateKey,
    });
    expect(await ask(server, "https://mutual.example.com/", as(own))).toMatchObject({ status: 200 });
    await expect(ask(server, "https://mutual.example.com/", { ca: web.rootPem })).rejects.toThrow();
    await expect(ask(server, "https://mutual.example.com/", as(foreign))).rejects.toThrow();
  });

  test("OPTIONAL_MUTUAL: without a certificate, or with one of the Secret's CA; the application is told", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    const url = "https://optional.example.com/";
    const told = async (client: Client): Promise<string> => {
      const { body } = await ask(server, url, client);
      return (JSON.parse(body) as { headers: Record<string, string> }).headers["x-forwarded-client-cert"] ?? "";
    };
    const own = clients.server(["client.example.com"]);
    const foreign = web.server(["client.example.com"]);
    const as = ({ certificateChain: cert, privateKey: key }: Pem): Client => ({ ca: web.rootPem, cert, key });
    expect(await told({ ca: web.rootPem })).not.toContain("DNS=client.example.com");
    expect(await told(as(own))).toMatch(/Cert="[^"]+".*DNS=client\.example\.com/);
    await expect(ask(server, url, as(foreign))).rejects.toThrow();
  });

  test("versions and cipher suites are those of the server", async () => {
    const { bind } = serverOn(mesh, "istio-ingressgateway", 443);
    const agreed = await new Promise((resolve, reject) => {
      const socket = tlsConnect(
        { host: bind.address, port: bind.port, servername: "optional.example.com", ca: web.rootPem },
        () => {
          resolve([socket.getProtocol(), socket.getCipher().name]);
          socket.destroy();
        },
      );
      socket.on("error", reject);
    });
    expect(agreed).toEqual(["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
  });

  test("the port of a Host header does not matter", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 80);
    expect(await ask(server, "http://plain.example.com:12345/")).toMatchObject({ status: 200 });
  });

  test("a Secret that is missing closes its own hosts only", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    await expect(ask(server, "https://missing.example.com/", { ca: web.rootPem })).rejects.toThrow();
    expect(await ask(server, "https://simple.example.com/", { ca: web.rootPem })).toMatchObject({ status: 200 });
  });

  test("PASSTHROUGH: the workload's own certificate, by SNI", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    const { status, body } = await ask(server, "https://pass.example.com/", { ca: web.rootPem });
    expect({ status, body }).toEqual({ status: 200, body: "secret" });
  });

  test("TCP goes where the tcp rule says", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 9000);
    expect(await ask(server, "http://whatever/")).toMatchObject({ status: 200 });
  });

  test("`call --gateway` sends HTTPS with the files it is given, and says what is wrong with a call", async () => {
    writeFileSync(join(mesh.directory, "ca.pem"), web.rootPem);
    const secureCall = async (...flags: string[]): Promise<unknown> =>
      await mesh.call("gateway:istio-ingressgateway", "https://simple.example.com/", ...flags);
    const ca = join(mesh.directory, "ca.pem");
    expect(await secureCall("--cacert", ca)).toMatchObject({ statuses: { "200": 1 }, workloads: { "echo-v1": 1 } });
    expect(await secureCall("-k")).toMatchObject({ statuses: { "200": 1 } });
    expect(await secureCall()).toMatchObject({ statuses: { "0": 1 } });
    const misuse = async (...argv: string[]): Promise<string> => {
      const { code, err } = await mesh.run("call", ...argv);
      expect(code).toBe(2);
      return err;
    };
    expect(await misuse("--gateway", "echo-v1", "http://a/")).toContain("echo-v1 is no gateway");
    expect(await misuse("--from", "istio-ingressgateway", "http://a/")).toContain("send through it by --gateway");
    expect(await misuse("--gateway", "istio-ingressgateway", "http://a:7/")).toContain("it has 80, 8081, 443, 9000");
    expect(await misuse("http://a/")).toContain("or --gateway");
    expect(await misuse("--gateway", "istio-ingressgateway", "ftp://a/")).toContain("http:// or https://");
  });

  test("the table says for each server how to call it from this machine", () => {
    const { bind: http } = serverOn(mesh, "istio-ingressgateway", 80);
    const { bind: https } = serverOn(mesh, "istio-ingressgateway", 443);
    const { bind: tcp } = serverOn(mesh, "istio-ingressgateway", 9000);
    const of = "istio-ingressgateway.istio-system";
    expect(workloadTable(mesh.session.runner.file).split("\n")).toEqual(
      expect.arrayContaining([
        `${of} HTTP 80 (plain.example.com): curl -H 'Host: plain.example.com' http://${http.address}:${http.port}/`,
        `${of} HTTPS 443 MUTUAL (mutual.example.com): curl -k --cert CLIENT.crt --key CLIENT.key --resolve mutual.example.com:${https.port}:${https.address} https://mutual.example.com:${https.port}/`,
        `${of} TCP 9000 (*): connect to ${tcp.address}:${tcp.port}`,
      ]),
    );
  });

  test("a Secret that changes is what the next client sees; one that breaks changes nothing", async () => {
    const server = serverOn(mesh, "istio-ingressgateway", 443);
    const before = await certificateFor(server, "simple.example.com");
    const mutual = secret("mutual", web.server(HOSTS), clients.rootPem);
    mesh.write("secrets.yaml", secret("simple", web.server(HOSTS)) + mutual);
    await vi.waitFor(async () => expect(await certificateFor(server, "simple.example.com")).not.toBe(before), WAIT);
    const renewed = await certificateFor(server, "simple.example.com");
    mesh.write("secrets.yaml", secret("simple", { certificateChain: "nonsense", privateKey: "nonsense" }) + mutual);
    // What was written later is in force: so is what was written before.
    mesh.write("marker.yaml", route("marker", "plain.example.com", "{ uri: { exact: /marker } }", "v2"));
    await vi.waitFor(async () => {
      const { body } = await ask(serverOn(mesh, "istio-ingressgateway", 80), "http://plain.example.com/marker");
      expect(body).toContain("echo-v2");
    }, WAIT);
    expect(await certificateFor(server, "simple.example.com")).toBe(renewed);
  });

  test("a server that is added is served by the gateway that runs", async () => {
    const pid = mesh.workload("istio-ingressgateway").sidecar?.pid;
    mesh.write(
      "later.yaml",
      `{ apiVersion: networking.istio.io/v1, kind: Gateway, metadata: { name: later, namespace: istio-system }, spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 8099, name: http-later, protocol: HTTP }, hosts: ["later.example.com"] }] } }
---
{ apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: { name: later }, spec: { hosts: [later.example.com], gateways: [istio-system/later], http: [{ route: [{ destination: { host: echo } }] }] } }
`,
    );
    await vi.waitFor(async () => {
      const { status } = await ask(serverOn(mesh, "istio-ingressgateway", 8099), "http://later.example.com/");
      expect(status).toBe(200);
    }, WAIT);
    expect(mesh.workload("istio-ingressgateway").sidecar?.pid).toBe(pid);
  });
});

const EGRESS = (port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: external }
spec:
  hosts: [external.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }, { number: 443, name: https, protocol: HTTPS }]
  endpoints: [{ address: 127.0.0.1, ports: { http: 1, https: ${port} } }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: egress }
spec:
  selector: { istio: egressgateway }
  servers:
  - { port: { number: 80, name: https-port-for-tls-origination, protocol: HTTPS }, hosts: [external.example.com], tls: { mode: ISTIO_MUTUAL } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: to-egress }
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets:
  - name: external
    trafficPolicy:
      portLevelSettings: [{ port: { number: 80 }, tls: { mode: ISTIO_MUTUAL, sni: external.example.com } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: through-egress }
spec:
  hosts: [external.example.com]
  gateways: [egress, mesh]
  http:
  - match: [{ gateways: [mesh], port: 80 }]
    route: [{ destination: { host: istio-egressgateway.istio-system.svc.cluster.local, subset: external, port: { number: 80 } } }]
  - match: [{ gateways: [egress], port: 80 }]
    route: [{ destination: { host: external.example.com, port: { number: 443 } } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: originate }
spec:
  host: external.example.com
  trafficPolicy:
    portLevelSettings: [{ port: { number: 443 }, tls: { mode: MUTUAL, credentialName: external-client, sni: external.example.com } }]
---
`;

describe("an egress gateway that begins TLS, over real processes", () => {
  let mesh: TestMesh;
  let external: Server;
  const seen: string[] = [];
  const client = clients.workload("spiffe://clients.example.com/egress");

  beforeAll(async () => {
    const identity = web.server(["external.example.com"]);
    external = createHttpsServer(
      {
        key: identity.privateKey,
        cert: identity.certificateChain,
        ca: clients.rootPem,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (incoming, answer) => {
        // Each request on a connection of its own: a rotated certificate is for new ones.
        answer.setHeader("connection", "close");
        seen.push(`${incoming.method} ${incoming.headers.host}`);
        answer.end("from outside");
      },
    );
    const port = await listening(external);
    mesh = await testMesh({
      "workloads.yaml": deployment("client", { port: undefined }),
      "secret.yaml": secret("external-client", client, web.rootPem),
      "egress.yaml": EGRESS(port),
    });
  });
  afterAll(() => void external.close());

  test("the application speaks HTTP, the mesh mutual TLS, and the gateway TLS with the Secret's certificate", async () => {
    expect(await mesh.call("client", "http://external.example.com/", "-n", "3")).toMatchObject({
      statuses: { "200": 3 },
      workloads: { "istio-egressgateway": 3 },
    });
    expect(seen).toEqual(Array.from({ length: 3 }, () => "GET external.example.com"));
  });

  test("a CA that did not sign the server's certificate stops the traffic: 503", async () => {
    mesh.write("secret.yaml", secret("external-client", client, clients.rootPem));
    await vi.waitFor(async () => {
      expect(await mesh.call("client", "http://external.example.com/")).toMatchObject({ statuses: { "503": 1 } });
    }, WAIT);
    mesh.write("secret.yaml", secret("external-client", client, web.rootPem));
    await vi.waitFor(async () => {
      expect(await mesh.call("client", "http://external.example.com/")).toMatchObject({ statuses: { "200": 1 } });
    }, WAIT);
  });
});

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

describe("an east-west gateway, over real processes", () => {
  let mesh: TestMesh;
  const sni = "outbound_.80_._.echo.default.svc.cluster.local";

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml": deployment("client", { port: undefined }) + deployment("echo") + service("echo"),
      "gateway.yaml": `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: cross-network, namespace: istio-system }
spec:
  selector: { istio: eastwestgateway }
  servers:
  - { port: { number: 15443, name: tls, protocol: TLS }, hosts: ["*.local"], tls: { mode: AUTO_PASSTHROUGH } }
`,
    });
  });

  /** What somebody outside the mesh gets who knows the SNI. */
  function intruder(ALPNProtocols: readonly string[]): Promise<string> {
    const { bind } = serverOn(mesh, "istio-eastwestgateway", 15443);
    return new Promise((resolve) => {
      let text = "";
      const socket = tlsConnect(
        {
          host: bind.address,
          port: bind.port,
          servername: sni,
          rejectUnauthorized: false,
          ALPNProtocols: [...ALPNProtocols],
        },
        () => socket.write("GET / HTTP/1.1\r\nhost: echo\r\nconnection: close\r\n\r\n"),
      );
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(text));
    });
  }

  test("AUTO_PASSTHROUGH lets mesh TLS through to the service that its SNI names", async () => {
    const { bind } = serverOn(mesh, "istio-eastwestgateway", 15443);
    mesh.write(
      "remote.yaml",
      `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: remote }
spec:
  hosts: [echo.other-network]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: ${bind.address}, ports: { http: ${bind.port} } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: remote }
spec:
  host: echo.other-network
  trafficPolicy: { tls: { mode: ISTIO_MUTUAL, sni: ${sni}, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/echo"] } }
`,
    );
    await vi.waitFor(async () => {
      expect(await mesh.call("client", "http://echo.other-network/")).toMatchObject({ statuses: { "200": 1 } });
    }, WAIT);
  });

  test.each([["http/1.1"], ["h2"], ["istio"], ["istio-http/1.1"]])(
    "nobody without a certificate of the mesh: %s",
    async (alpn) => {
      expect(await intruder([alpn])).toBe("");
    },
  );
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
