/** What tests of gateways share: certificates of the world outside, an ingress gateway, and clients of it. */
import type { Server as TlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import type { Server } from "node:https";
import { Agent, request } from "undici";
import { testAuthority, type TestAuthority } from "#proxy/tls/node-test-identities.ts";
import type { RunningServer } from "#cli/local/mesh-file.ts";
import { deployment, destinationRule, service, versions, type TestMesh } from "./mesh.ts";

export const WAIT = { timeout: 20_000, interval: 100 };

export const web: TestAuthority = testAuthority("example.com");
export const clients: TestAuthority = testAuthority("clients.example.com");
export const HOSTS: readonly string[] = [
  "simple.example.com",
  "mutual.example.com",
  "term.example.com",
  "external.example.com",
  "pass.example.com",
  "optional.example.com",
];

export interface Pem {
  readonly certificateChain: string;
  readonly privateKey: string;
}

export function secret(name: string, { certificateChain, privateKey }: Pem, ca?: string): string {
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

export const INGRESS = `
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

export const echoes: string =
  deployment("client", { port: undefined }) +
  deployment("echo-v1", { app: "echo", version: "v1" }) +
  deployment("echo-v2", { app: "echo", version: "v2" }) +
  service("echo") +
  destinationRule("echo", versions);

/** The gateway's server on a port, as the mesh file tells it. */
export function serverOn(mesh: TestMesh, gateway: string, port: number): RunningServer {
  const server = mesh.workload(gateway).servers?.find((candidate) => candidate.port === port);
  if (server === undefined) throw new Error(`${gateway} has nothing on port ${port}`);
  return server;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Client {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A client outside the mesh. */
export async function ask(server: RunningServer, url: string, client?: Client): Promise<Answer> {
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
export function listening(server: Server | TlsServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
