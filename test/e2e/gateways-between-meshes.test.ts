import { createServer as createHttpsServer, type Server } from "node:https";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { clients, listening, secret, serverOn, WAIT, web } from "./edge.ts";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

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
