import { writeFileSync } from "node:fs";
import { connect as http2Connect } from "node:http2";
import { join } from "node:path";
import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { workloadTable } from "#cli/local/console.ts";
import type { RunningServer } from "#cli/local/mesh-file.ts";
import {
  ask,
  clients,
  echoes,
  HOSTS,
  INGRESS,
  listening,
  secret,
  serverOn,
  WAIT,
  web,
  type Client,
  type Pem,
} from "./edge.ts";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

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
