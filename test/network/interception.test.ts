/**
 * Interception as Istio's init container sets it up: two network namespaces, `iptables` rules that redirect what the
 * application sends to 15001 and what arrives to 15006, a proxy on each side under a user of its own, mutual TLS between.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import { needNamespaces } from "../needs.ts";

const need = needNamespaces();
if (need.missing !== undefined) process.stderr.write(`interception is not tested: ${need.missing}\n`);

const type = "type.googleapis.com/envoy.extensions";
const proxyUser = "1337";
const id = `${process.pid}`;
const client = { namespace: `gmc${id}`, link: `gmc${id}`, v4: "10.77.0.1", v6: "fd77::1" };
const server = { namespace: `gms${id}`, link: `gms${id}`, v4: "10.77.0.2", v6: "fd77::2" };
type Side = typeof client;

function run(...words: readonly string[]): string {
  const [program = "", ...args] = words;
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

const within = (side: Side, ...words: readonly string[]): readonly string[] => [
  "ip",
  "netns",
  "exec",
  side.namespace,
  ...words,
];

/** The rules of istio-iptables, those that matter here. */
const rules = (loopback: string): readonly string[] => [
  "-N ISTIO_REDIRECT",
  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
  "-N ISTIO_IN_REDIRECT",
  "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
  "-N ISTIO_INBOUND",
  "-A PREROUTING -p tcp -j ISTIO_INBOUND",
  "-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN",
  "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
  "-N ISTIO_OUTPUT",
  "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
  `-A ISTIO_OUTPUT -m owner --uid-owner ${proxyUser} -j RETURN`,
  `-A ISTIO_OUTPUT -d ${loopback} -j RETURN`,
  "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
];

function makeNetwork(): void {
  for (const { namespace } of [client, server]) run("ip", "netns", "add", namespace);
  run("ip", "link", "add", client.link, "type", "veth", "peer", "name", server.link);
  for (const side of [client, server]) {
    run("ip", "link", "set", side.link, "netns", side.namespace);
    run(...within(side, "ip", "addr", "add", `${side.v4}/24`, "dev", side.link));
    run(...within(side, "ip", "-6", "addr", "add", `${side.v6}/64`, "dev", side.link, "nodad"));
    run(...within(side, "ip", "link", "set", side.link, "up"));
    run(...within(side, "ip", "link", "set", "lo", "up"));
    for (const rule of rules("127.0.0.1/32")) run(...within(side, "iptables", "-t", "nat", ...rule.split(" ")));
    for (const rule of rules("::1/128")) run(...within(side, "ip6tables", "-t", "nat", ...rule.split(" ")));
  }
}

function removeNetwork(): void {
  for (const { namespace } of [client, server])
    try {
      run("ip", "netns", "del", namespace);
    } catch {
      // It was never made.
    }
}

const children: ChildProcess[] = [];

/** Resolves when `ready` has been said. */
function start(side: Side, user: string, args: readonly string[], ready: string): Promise<void> {
  const privileges = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
  const [program = "", ...rest] = within(side, ...privileges, process.execPath, ...args);
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env["PATH"] ?? "" } });
  children.push(child);
  return new Promise((resolve, reject) => {
    let said = "";
    const hear = (text: string): void => {
      said += text;
      if (said.includes(ready)) resolve();
    };
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    child.once("exit", (code) => reject(new Error(`ended with ${code}:\n${said}`)));
  });
}

const authority = testAuthority();

function commonTls(spiffeId: string): object {
  const { certificateChain, privateKey } = authority.workload(spiffeId);
  return {
    tls_certificates: [
      { certificate_chain: { inline_string: certificateChain }, private_key: { inline_string: privateKey } },
    ],
    validation_context: { trusted_ca: { inline_string: authority.rootPem } },
  };
}

const listenOn = (port: number): readonly object[] =>
  ["0.0.0.0", "::"].map((address) => ({ socket_address: { address, port_value: port } }));
const listenerFilter = (name: string, typeName: string): object => ({
  name,
  typed_config: { "@type": `${type}.filters.listener.${typeName}` },
});
const originalDst = listenerFilter("original_dst", "original_dst.v3.OriginalDst");
const tlsInspector = listenerFilter("tls_inspector", "tls_inspector.v3.TlsInspector");
const originalDestinations = (more: object = {}): object => ({
  name: "original",
  type: "ORIGINAL_DST",
  lb_policy: "CLUSTER_PROVIDED",
  ...more,
});

const outbound: object = {
  static_resources: {
    listeners: listenOn(15001).map((address, index) => ({
      name: `virtualOutbound${index}`,
      address,
      use_original_dst: true,
      listener_filters: [originalDst],
      filter_chains: [
        {
          filters: [
            {
              name: "tcp",
              typed_config: {
                "@type": `${type}.filters.network.tcp_proxy.v3.TcpProxy`,
                stat_prefix: "out",
                cluster: "original",
              },
            },
          ],
        },
      ],
    })),
    clusters: [
      originalDestinations({
        transport_socket: {
          name: "tls",
          typed_config: {
            "@type": `${type}.transport_sockets.tls.v3.UpstreamTlsContext`,
            common_tls_context: commonTls("spiffe://cluster.local/ns/a/sa/client"),
          },
        },
      }),
    ],
  },
};

const inbound: object = {
  static_resources: {
    listeners: listenOn(15006).map((address, index) => ({
      name: `virtualInbound${index}`,
      address,
      listener_filters: [originalDst, tlsInspector],
      filter_chains: [
        {
          filter_chain_match: { transport_protocol: "tls", destination_port: 8080 },
          transport_socket: {
            name: "tls",
            typed_config: {
              "@type": `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
              require_client_certificate: true,
              common_tls_context: commonTls("spiffe://cluster.local/ns/b/sa/server"),
            },
          },
          filters: [
            {
              name: "http",
              typed_config: {
                "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                stat_prefix: "in",
                route_config: {
                  virtual_hosts: [
                    {
                      name: "all",
                      domains: ["*"],
                      response_headers_to_add: [
                        { header: { key: "x-peer", value: "%DOWNSTREAM_PEER_URI_SAN%" } },
                        { header: { key: "x-destination", value: "%DOWNSTREAM_LOCAL_ADDRESS%" } },
                      ],
                      routes: [{ match: { prefix: "/" }, route: { cluster: "original" } }],
                    },
                  ],
                },
                http_filters: [{ name: "router", typed_config: { "@type": `${type}.filters.http.router.v3.Router` } }],
              },
            },
          ],
        },
      ],
    })),
    clusters: [originalDestinations()],
  },
};

/** Says what it is asked, and by whom; the client says what it hears. */
const application = `require("node:http").createServer((request, response) => response.end("hello " + request.url)).listen(8080, "::", () => console.log("up"))`;
const ask = (url: string): string => `fetch(${JSON.stringify(url)}).then(async (response) => console.log(JSON.stringify(
  { status: response.status, peer: response.headers.get("x-peer"), destination: response.headers.get("x-destination"), body: await response.text() })),
  (error) => console.log(JSON.stringify({ error: String(error.cause?.code ?? error) })))`;
const asking = (side: Side, url: string): unknown => JSON.parse(run(...within(side, process.execPath, "-e", ask(url))));

describe.skipIf(need.missing !== undefined)("interception by iptables", () => {
  const folder = mkdtempSync(join(tmpdir(), "interception-"));
  const main = fileURLToPath(new URL("../../proxy/main.ts", import.meta.url));

  beforeAll(async () => {
    chmodSync(folder, 0o755);
    for (const [name, bootstrap] of Object.entries({ outbound, inbound }))
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(bootstrap), { mode: 0o644 });
    makeNetwork();
    await Promise.all([
      start(server, "0", ["-e", application], "up"),
      start(server, proxyUser, [main, "-c", join(folder, "inbound.json")], "the proxy is live"),
      start(client, proxyUser, [main, "-c", join(folder, "outbound.json")], "the proxy is live"),
    ]);
  });
  afterAll(() => {
    for (const child of children) child.removeAllListeners("exit").kill("SIGKILL");
    removeNetwork();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ["IPv4", server.v4],
    ["IPv6", `[${server.v6}]`],
  ])("a request is intercepted on both sides, with mutual TLS between: %s", (_name, host) => {
    expect(asking(client, `http://${host}:8080/x`)).toEqual({
      status: 200,
      peer: "spiffe://cluster.local/ns/a/sa/client",
      destination: `${host}:8080`,
      body: "hello /x",
    });
  });

  test("what is not intercepted on its way out is refused: it has no certificate", () => {
    const [program = "", ...args] = within(
      client,
      "setpriv",
      `--reuid=${proxyUser}`,
      `--regid=${proxyUser}`,
      "--clear-groups",
      process.execPath,
      "-e",
      ask(`http://${server.v4}:8080/x`),
    );
    expect(JSON.parse(run(program, ...args))).toHaveProperty("error");
  });

  test("a port that no filter chain is for does not answer, whatever listens there", () => {
    expect(asking(client, `http://${server.v4}:15006/x`)).toHaveProperty("error");
  });
});
