import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

describe("DestinationRule tunnel, over real processes", () => {
  const asked: string[] = [];
  const proxied: string[] = [];
  const sockets = new Set<Socket>();
  /** A forward proxy that answers in the target's stead. */
  const forwardProxy = createServer();
  forwardProxy.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  forwardProxy.on("connect", (request: IncomingMessage, socket: Socket) => {
    asked.push(`${request.method} ${request.url}`);
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    socket.on("data", (chunk) => {
      proxied.push(chunk.toString("latin1").split("\r\n")[0] ?? "");
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ntunneled");
    });
  });
  let mesh: TestMesh;

  beforeAll(async () => {
    await new Promise<void>((resolve) => forwardProxy.listen(0, "127.0.0.1", resolve));
    const { port } = forwardProxy.address() as AddressInfo;
    mesh = await testMesh({
      "client.yaml": deployment("client", { port: undefined }),
      "raw.yaml": deployment("raw") + service("raw", { portName: "tcp" }),
      "tunnel.yaml": `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: forward-proxy }
spec:
  hosts: [forward-proxy.test]
  addresses: [240.77.0.1]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{ number: 3128, name: tcp, protocol: TCP }]
  endpoints: [{ address: 127.0.0.1, ports: { tcp: ${port} } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: raw }
spec:
  hosts: [raw]
  tcp:
  - route: [{ destination: { host: forward-proxy.test, port: { number: 3128 } } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: forward-proxy }
spec:
  host: forward-proxy.test
  trafficPolicy: { tunnel: { protocol: CONNECT, targetHost: target.test, targetPort: 443 } }
---
`,
    });
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    forwardProxy.close();
  });

  /** Where the client's sidecar takes connections that go into the tunnel. */
  async function tunnelListener(): Promise<string> {
    const dump = JSON.parse(await mesh.admin("client", "/config_dump?resource=dynamic_listeners")) as {
      readonly configs: readonly { readonly active_state?: { readonly listener: object } }[];
    };
    for (const { active_state: state } of dump.configs) {
      const listener = state?.listener as
        | { readonly address: { readonly socket_address: { readonly address: string; readonly port_value: number } } }
        | undefined;
      if (listener === undefined || !JSON.stringify(listener).includes("tunneling_config")) continue;
      const { address, port_value: port } = listener.address.socket_address;
      return `${address}:${port}`;
    }
    throw new Error("no listener has a tunnel");
  }

  test("a TCP connection is carried in a CONNECT to the target", async () => {
    await vi.waitFor(
      async () => {
        const response = await request(`http://${await tunnelListener()}/x`);
        expect(await response.body.text()).toBe("tunneled");
        expect(proxied).toContain("GET /x HTTP/1.1");
      },
      { timeout: 20_000, interval: 200 },
    );
    expect(new Set(asked)).toEqual(new Set(["CONNECT target.test:443"]));
  });
});
