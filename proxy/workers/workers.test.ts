import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { readFileSync } from "node:fs";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { DeltaDiscoveryRequest } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { messageFromJson } from "#protos/json.ts";
import { loadBootstrap } from "../bootstrap/bootstrap.ts";
import { parseCommandLine } from "../options.ts";
import { adsBootstrap, bootstrapOf, httpListener, route, staticCluster } from "../testing/bootstraps.ts";
import {
  poll,
  spawnProxy,
  startProxy,
  workspace,
  type RunningProcess,
  type RunningProxy,
  type Workspace,
} from "../testing/proxy-process.ts";
import { testAuthority } from "../tls/node-test-identities.ts";
import { startAdsServer, type TestAdsServer } from "../xds/testing/ads-server.ts";
import { TypeUrl } from "../xds/types.ts";
import { createWorkersServer } from "./workers-server.ts";

let files: Workspace;
const processes: RunningProcess[] = [];
const servers: Server[] = [];

beforeEach(() => {
  files = workspace();
});
afterEach(async () => {
  for (const running of processes.splice(0)) {
    running.kill("SIGKILL");
    await running.ended;
  }
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  files.remove();
});

async function start(bootstrap: unknown, until: "live" | "admin" = "live"): Promise<RunningProxy> {
  const proxy = await startProxy(files, bootstrap, {
    until,
    args: ["--concurrency", "2", "--file-flush-interval-msec", "20"],
  });
  processes.push(proxy);
  return proxy;
}

/** An upstream that answers as told. */
async function origin(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One request on a connection of its own: the system chooses the worker. */
function ask(address: string, path = "/"): Promise<Answer> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host, port: Number(port), path, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function stat(proxy: RunningProxy, name: string): Promise<number> {
  const text = await proxy.text(`/stats?filter=^${name.replaceAll(".", "\\.")}$`);
  return Number(text.trim().split(": ")[1] ?? Number.NaN);
}

/** Connections that each worker has taken. */
async function shares(proxy: RunningProxy): Promise<readonly number[]> {
  const text = await proxy.text("/stats?filter=^listener.*worker_[01].downstream_cx_total$");
  return text
    .trim()
    .split("\n")
    .map((line) => Number(line.split(": ")[1]));
}

const WIDE = { max_connections: 1000, max_pending_requests: 1000, max_requests: 1000 };

describe("--concurrency 2", () => {
  test("both workers serve, and what they count is summed", async () => {
    const log = join(files.path, "access.log");
    const one = await origin((_request, response) => response.end("one"));
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("one", one)],
        listeners: [
          httpListener("in", { routes: [route("/", "one")], accessLogPath: log, accessLogFormat: "[%REQ(:PATH)%]\n" }),
        ],
      }),
    );
    const address = await proxy.address("in");
    const answers = await Promise.all(Array.from({ length: 60 }, (_, index) => ask(address, `/${index}`)));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["one"]));
    const each = await shares(proxy);
    expect(each).toHaveLength(2);
    expect(Math.min(...each)).toBeGreaterThan(0);
    expect(each.reduce((sum, count) => sum + count, 0)).toBe(60);
    expect(await stat(proxy, "cluster.one.upstream_rq_200")).toBe(60);
    expect(await stat(proxy, "cluster.one.membership_total")).toBe(1);
    expect(await stat(proxy, "cluster_manager.cluster_added")).toBe(1);
    expect(await stat(proxy, "server.concurrency")).toBe(2);
    const prometheus = await proxy.text("/stats/prometheus?filter=^cluster.one.upstream_rq_time$");
    expect(prometheus).toContain('envoy_cluster_upstream_rq_time_count{envoy_cluster_name="one"} 60\n');
    const clusters = await proxy.text("/clusters");
    expect(clusters.match(/^one::.*::rq_total::.*$/gm)).toEqual([`one::${one}::rq_total::60`]);
    await poll(proxy, () => readFileSync(log, "utf8").split("\n").length === 61);
    const lines = readFileSync(log, "utf8").trim().split("\n").sort();
    expect(lines).toEqual(Array.from({ length: 60 }, (_, index) => `[/${index}]`).sort());
    expect((await proxy.post("/reset_counters")).status).toBe(200);
    expect(await stat(proxy, "cluster.one.upstream_rq_200")).toBe(0);
  });

  test("circuit breakers hold over both: exactly max_requests are in flight", async () => {
    const held: ServerResponse[] = [];
    let most = 0;
    const slow = await origin((_request, response) => {
      held.push(response);
      most = Math.max(most, held.length);
    });
    const proxy = await start(
      bootstrapOf({
        clusters: [
          {
            ...staticCluster("slow", slow),
            circuit_breakers: { thresholds: [{ ...WIDE, max_requests: 5, track_remaining: true }] },
          },
        ],
        listeners: [httpListener("in", { routes: [route("/", "slow")] })],
      }),
    );
    const address = await proxy.address("in");
    // One after the other: each is in flight, or refused, before the next one comes.
    const answers: Answer[] = [];
    const waiting: Promise<unknown>[] = [];
    for (let sent = 1; sent <= 40; sent++) {
      waiting.push(ask(address).then((answer) => answers.push(answer)));
      await poll(proxy, () => held.length + answers.length === sent);
    }
    expect([held.length, most, answers.length]).toEqual([5, 5, 35]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(Math.min(...(await shares(proxy)))).toBeGreaterThan(0);
    expect(await stat(proxy, "cluster.slow.circuit_breakers.default.rq_open")).toBe(1);
    expect(await stat(proxy, "cluster.slow.circuit_breakers.default.remaining_rq")).toBe(0);
    expect(await stat(proxy, "cluster.slow.upstream_rq_pending_overflow")).toBe(35);
    expect(await stat(proxy, "cluster.slow.upstream_rq_active")).toBe(5);
    for (const response of held.splice(0)) response.end("done");
    await Promise.all(waiting);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
    expect(await stat(proxy, "cluster.slow.circuit_breakers.default.rq_open")).toBe(0);
    expect(await stat(proxy, "cluster.slow.circuit_breakers.default.remaining_rq")).toBe(5);
  });

  test("a connection limit of a listener counts for both", async () => {
    const held: ServerResponse[] = [];
    const slow = await origin((_request, response) => void held.push(response));
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("slow", slow)],
        listeners: [httpListener("in", { routes: [route("/", "slow")] })],
        more: {
          layered_runtime: {
            layers: [{ name: "static", static_layer: { "envoy.resource_limits.listener.in.connection_limit": 4 } }],
          },
        },
      }),
    );
    const address = await proxy.address("in");
    let refused = 0;
    const waiting: Promise<unknown>[] = [];
    for (let sent = 1; sent <= 20; sent++) {
      waiting.push(ask(address).catch(() => refused++));
      await poll(proxy, () => held.length + refused === sent);
    }
    expect([held.length, refused]).toEqual([4, 16]);
    for (const response of held) response.end();
    await Promise.all(waiting);
  });

  test("a host that one worker ejects both leave out", async () => {
    let asked = 0;
    const bad = await origin((_request, response) => {
      asked++;
      response.writeHead(500).end();
    });
    const proxy = await start(
      bootstrapOf({
        clusters: [
          {
            ...staticCluster("bad", bad),
            common_lb_config: { healthy_panic_threshold: { value: 0 } },
            outlier_detection: { consecutive_5xx: 1, max_ejection_percent: 100, base_ejection_time: "300s" },
          },
        ],
        listeners: [httpListener("in", { routes: [route("/", "bad")] })],
      }),
    );
    const address = await proxy.address("in");
    expect((await ask(address)).status).toBe(500);
    // The other worker hears of it by way of the main thread, through which the statistics come as well.
    await stat(proxy, "cluster.bad.outlier_detection.ejections_active");
    await stat(proxy, "cluster.bad.outlier_detection.ejections_active");
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask(address)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(asked).toBe(1);
    expect(Math.min(...(await shares(proxy)))).toBeGreaterThan(0);
    expect(await stat(proxy, "cluster.bad.outlier_detection.ejections_active")).toBe(1);
    expect(await stat(proxy, "cluster.bad.outlier_detection.ejections_enforced_total")).toBe(1);
  });

  test("SIGTERM lets the requests of both finish", async () => {
    const held: ServerResponse[] = [];
    const slow = await origin((_request, response) => void held.push(response));
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("slow", slow)],
        listeners: [httpListener("in", { routes: [route("/", "slow")] })],
      }),
    );
    const address = await proxy.address("in");
    const answers = Array.from({ length: 24 }, () => ask(address));
    await poll(proxy, () => held.length === 24);
    expect(Math.min(...(await shares(proxy)))).toBeGreaterThan(0);
    proxy.kill("SIGTERM");
    await poll(proxy, () => refuses(address));
    for (const response of held) response.end("at last");
    expect(new Set((await Promise.all(answers)).map(({ body }) => body))).toEqual(new Set(["at last"]));
    expect(await proxy.ended).toMatchObject({ code: 0, signal: null });
  });

  test("a filter that counts for the process is refused by name", async () => {
    const config = files.write(
      "bootstrap.yaml",
      bootstrapOf({
        listeners: [
          httpListener("in", {
            routes: [],
            httpFilters: [
              {
                name: "limit",
                typed_config: {
                  "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                  stat_prefix: "limit",
                  token_bucket: { max_tokens: 1, fill_interval: "60s" },
                },
              },
            ],
          }),
        ],
      }),
    );
    const running = spawnProxy(["-c", config, "--concurrency", "2"]);
    processes.push(running);
    const { code, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain("envoy.filters.http.local_ratelimit counts for the whole process");
  });

  test("a worker that crashes is a crash of the process, with its reason", async () => {
    const bootstrap = loadBootstrap(JSON.stringify(bootstrapOf({})), {}).value;
    const command = parseCommandLine(["-c", "x", "--concurrency", "2"]);
    if (bootstrap === undefined || command.kind !== "run") throw new Error("a good bootstrap");
    const { promise: crashed, resolve: onCrash } = Promise.withResolvers<string>();
    const { options } = command;
    const main = new URL("data:text/javascript,setTimeout(() => { throw new Error('boom') }, 1)");
    const starting = createWorkersServer({
      runtime: nodeRuntime({ logLevel: "off" }),
      bootstrap,
      options,
      main,
      text: "",
      writeLog() {},
      onCrash,
    });
    starting.catch(() => undefined);
    expect(await crashed).toMatch(/^worker [01] has crashed: Error: boom\n/);
  });
});

describe("--concurrency 2 over ADS", () => {
  let ads: TestAdsServer;
  beforeEach(async () => {
    ads = await startAdsServer();
  });
  afterEach(() => ads.close());

  const set = (typeUrl: string, ...resources: readonly unknown[]): void =>
    ads.set(
      typeUrl,
      resources.map((json) => {
        const { value, problems } = messageFromJson(typeUrl.slice(typeUrl.indexOf("/") + 1), json);
        if (value === undefined) throw new Error(JSON.stringify(problems));
        return value;
      }),
    );
  const answered = (typeUrl: string): number =>
    ads.requests.filter((request) => request.typeUrl === typeUrl && request.responseNonce !== "").length;

  test("the server hears of each subscription once, and of an ACK when both have applied the update", async () => {
    const one = await origin((_request, response) => response.end("one"));
    const proxy = await start(adsBootstrap(ads.address), "admin");
    const direct = (text: string): unknown => ({
      name: "main",
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: text } } }],
        },
      ],
    });
    set(TypeUrl.cluster, staticCluster("a", one));
    set(TypeUrl.listener, httpListener("in", { routes: "main" }));
    set(TypeUrl.route, direct("0"));
    await poll(proxy, async () => (await proxy.text("/ready")) === "LIVE\n");
    const address = await proxy.address("in");
    for (let version = 1; version <= 5; version++) {
      const before = answered(TypeUrl.route);
      set(TypeUrl.route, direct(String(version)));
      await poll(proxy, () => answered(TypeUrl.route) > before);
      const answers = await Promise.all(Array.from({ length: 16 }, () => ask(address)));
      expect(new Set(answers.map(({ body }) => body))).toEqual(new Set([String(version)]));
    }
    expect(Math.min(...(await shares(proxy)))).toBeGreaterThan(0);
    const asked = ads.requests.flatMap((request) =>
      request.typeUrl === TypeUrl.route ? (request as DeltaDiscoveryRequest).resourceNamesSubscribe : [],
    );
    expect(asked).toEqual(["main"]);
    expect(await stat(proxy, "http.in.rds.main.update_success")).toBe(6);
    expect(await stat(proxy, "control_plane.connected_state")).toBe(1);
  });

  test("a secret is rotated in both before the ACK", async () => {
    const authority = testAuthority();
    const secret = (name: string): unknown => {
      const { certificateChain, privateKey } = authority.server([name]);
      return {
        name: "cert",
        tls_certificate: {
          certificate_chain: { inline_string: certificateChain },
          private_key: { inline_string: privateKey },
        },
      };
    };
    const listener = httpListener("in", { routes: [] }) as { readonly filter_chains: readonly object[] };
    const transport_socket = {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context: {
          tls_certificate_sds_secret_configs: [
            { name: "cert", sds_config: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" } },
          ],
        },
      },
    };
    const proxy = await start(adsBootstrap(ads.address), "admin");
    set(TypeUrl.cluster);
    set(TypeUrl.listener, {
      ...listener,
      filter_chains: listener.filter_chains.map((chain) => ({ ...chain, transport_socket })),
    });
    set(TypeUrl.secret, secret("zero.test"));
    await poll(proxy, async () => (await proxy.text("/ready")) === "LIVE\n");
    const address = await proxy.address("in");
    for (const name of ["one.test", "two.test"]) {
      const before = answered(TypeUrl.secret);
      set(TypeUrl.secret, secret(name));
      await poll(proxy, () => answered(TypeUrl.secret) > before);
      const shown = await Promise.all(Array.from({ length: 12 }, () => certificateName(address)));
      expect(new Set(shown)).toEqual(new Set([`DNS:${name}`]));
    }
    expect(Math.min(...(await shares(proxy)))).toBeGreaterThan(0);
  });
});

/** Whether nobody listens there. */
function refuses(address: string): Promise<boolean> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

function certificateName(address: string): Promise<string | undefined> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}
