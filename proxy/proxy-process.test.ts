import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import {
  bootstrapOf,
  adsBootstrap,
  httpListener,
  route,
  routeConfiguration,
  staticCluster,
} from "./testing/bootstraps.ts";
import {
  poll,
  spawnProxy,
  startProxy,
  workspace,
  type RunningProcess,
  type RunningProxy,
  type Workspace,
} from "./testing/proxy-process.ts";
import { startAdsServer, type TestAdsServer } from "./xds/testing/ads-server.ts";
import { TypeUrl } from "./xds/types.ts";

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

async function startWith(
  ...args: Parameters<typeof startProxy> extends [unknown, ...infer Rest] ? Rest : never
): Promise<RunningProxy> {
  const proxy = await startProxy(files, ...args);
  processes.push(proxy);
  return proxy;
}

function run(...args: readonly string[]): RunningProcess {
  const running = spawnProxy(args);
  processes.push(running);
  return running;
}

/** An upstream that answers with its name, or as told. */
async function origin(
  name: string,
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createHttpServer(answer ?? ((_request, response) => response.end(name)));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.each([1, 2])("proxy/main.ts with a static bootstrap, --concurrency %i", (concurrency) => {
  const start = (bootstrap: unknown): Promise<RunningProxy> =>
    startWith(bootstrap, { args: ["--concurrency", String(concurrency)] });

  test("routes, logs, counts, and shows it on its admin pages", async () => {
    const log = join(files.path, "access.log");
    const [one, two] = [await origin("one"), await origin("two")];
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("one", one), staticCluster("two", two)],
        listeners: [
          httpListener("in", {
            routes: [route("/two", "two"), route("/", "one")],
            accessLogPath: log,
            accessLogFormat: "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER_RAW% %UPSTREAM_HOST%\n",
          }),
        ],
      }),
    );
    const address = await proxy.address("in");
    const answers = await Promise.all(
      ["/", "/two"].map(async (path) => (await fetch(`http://${address}${path}`)).text()),
    );
    expect(answers).toEqual(["one", "two"]);
    await poll(proxy, () => existsSync(log) && readFileSync(log, "utf8").split("\n").length === 3);
    expect(readFileSync(log, "utf8").split("\n").sort()).toEqual(["", `/ 200 - one ${one}`, `/two 200 - two ${two}`]);

    expect(await proxy.text("/stats?filter=^cluster.one.upstream_rq_200$")).toBe("cluster.one.upstream_rq_200: 1\n");
    expect(await proxy.text("/stats/prometheus?filter=(one|two).upstream_rq_200")).toBe(
      '# TYPE envoy_cluster_upstream_rq counter\nenvoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="one"} 1\nenvoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="two"} 1\n',
    );
    const clusters = await proxy.text("/clusters");
    expect(clusters).toContain(`one::${one}::rq_success::1\n`);
    expect(clusters).toContain(`one::${one}::health_flags::healthy\n`);
    const dump = (await (await proxy.get("/config_dump")).json()) as { configs: Record<string, unknown>[] };
    expect(dump.configs.map((section) => section["@type"])).toEqual(
      ["Bootstrap", "Clusters", "Listeners", "Routes", "Secrets"].map(
        (name) => `type.googleapis.com/envoy.admin.v3.${name}ConfigDump`,
      ),
    );
    const info = (await (await proxy.get("/server_info")).json()) as { state: string; node: { id: string } };
    expect([info.state, info.node.id]).toEqual(["LIVE", "test-node"]);
  });

  test("nothing changes by GET, and unknown pages list what there is", async () => {
    const proxy = await start(bootstrapOf({}));
    const refused = await proxy.get("/quitquitquit");
    expect([refused.status, await refused.text()]).toEqual([405, "Method GET not allowed, POST required."]);
    const unknown = await proxy.get("/nope");
    expect(unknown.status).toBe(404);
    expect(await unknown.text()).toMatch(/^invalid path\. admin commands are:\n {2}\/: Admin home page\n/);
    const logging = await proxy.post("/logging?paths=upstream:debug,config:warning");
    expect(await logging.text()).toMatch(/^active loggers:\n(?: {2}\w+: \w+\n)+\n$/);
    expect((await proxy.post("/logging?nope=debug")).status).toBe(400);
    expect((await proxy.post("/healthcheck/fail")).status).toBe(200);
    const ready = await proxy.get("/ready");
    expect([ready.status, await ready.text()]).toEqual([503, "DRAINING\n"]);
    await proxy.post("/healthcheck/ok");
    expect(await proxy.text("/ready")).toBe("LIVE\n");
    await proxy.post("/quitquitquit");
    expect((await proxy.ended).code).toBe(0);
  });

  test("a rotated access log is opened anew", async () => {
    const log = join(files.path, "access.log");
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("one", await origin("one"))],
        listeners: [
          httpListener("in", { routes: [route("/", "one")], accessLogPath: log, accessLogFormat: "%REQ(:PATH)%\n" }),
        ],
      }),
    );
    const address = await proxy.address("in");
    await (await fetch(`http://${address}/before`)).text();
    await poll(proxy, () => readFileSync(log, "utf8") !== "");
    renameSync(log, `${log}.1`);
    await proxy.post("/reopen_logs");
    await (await fetch(`http://${address}/after`)).text();
    await poll(proxy, () => existsSync(log) && readFileSync(log, "utf8") !== "");
    expect([readFileSync(`${log}.1`, "utf8"), readFileSync(log, "utf8")]).toEqual(["/before\n", "/after\n"]);
  });

  test("SIGTERM lets a request finish, refuses new connections, and ends with 0", async () => {
    const { promise: arrived, resolve: onArrival } = Promise.withResolvers<ServerResponse>();
    const upstream = await origin("slow", (_request, response) => onArrival(response));
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("slow", upstream)],
        listeners: [httpListener("in", { routes: [route("/", "slow")] })],
      }),
    );
    const address = await proxy.address("in");
    const answer = fetch(`http://${address}/`);
    const response = await arrived;
    proxy.kill("SIGTERM");
    await poll(proxy, () => refuses(address));
    response.end("at last");
    expect(await (await answer).text()).toBe("at last");
    expect(await proxy.ended).toMatchObject({ code: 0, signal: null });
  });

  test("a second signal ends it at once", async () => {
    const { promise: arrived, resolve: onArrival } = Promise.withResolvers<void>();
    const upstream = await origin("silent", () => onArrival());
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("silent", upstream)],
        listeners: [httpListener("in", { routes: [route("/", "silent")] })],
      }),
    );
    const address = await proxy.address("in");
    const answer = fetch(`http://${address}/`).catch((error: unknown) => error);
    await arrived;
    proxy.kill("SIGTERM");
    await poll(proxy, () => proxy.stderr.includes("draining"));
    proxy.kill("SIGTERM");
    expect((await proxy.ended).code).toBe(0);
    expect(await answer).toBeInstanceOf(Error);
  });

  test("idle connections do not hold up the end", async () => {
    const proxy = await start(
      bootstrapOf({
        clusters: [staticCluster("one", await origin("one"))],
        listeners: [httpListener("in", { routes: [route("/", "one")] })],
      }),
    );
    const [host = "", port = ""] = (await proxy.address("in")).split(":");
    const client = connect(Number(port), host);
    const closed = new Promise((resolve) => client.once("close", resolve));
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await new Promise((resolve) => client.once("data", resolve));
    proxy.kill("SIGTERM");
    expect((await proxy.ended).code).toBe(0);
    await closed;
  });
});

describe("proxy/main.ts, its command line", () => {
  test("--mode validate says that a good bootstrap is good, and opens nothing", async () => {
    const config = files.write(
      "good.yaml",
      bootstrapOf({
        clusters: [staticCluster("one", "127.0.0.1:9")],
        listeners: [httpListener("in", { routes: [route("/", "one")] })],
      }),
    );
    expect(await run("--mode", "validate", "-c", config).ended).toMatchObject({
      code: 0,
      stdout: `configuration '${config}' OK\n`,
    });
  });

  test.each([
    ["an unknown field", { ...bootstrapOf({}), nope: 1 }, ["bad.yaml", "nope"]],
    [
      "a broken rule",
      bootstrapOf({ clusters: [{ ...staticCluster("one", "127.0.0.1:9"), connect_timeout: "-1s" }] }),
      ["bad.yaml:1:", "static_resources.clusters[0].connect_timeout"],
    ],
    [
      "a filter that is not there",
      bootstrapOf({
        listeners: [
          httpListener("in", {
            routes: [],
            httpFilters: [
              {
                name: "my-lua",
                typed_config: {
                  "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                  inline_code: "x",
                },
              },
            ],
          }),
        ],
      }),
      ["listener in", "my-lua", "not supported"],
    ],
    [
      "a wrong access-log operator",
      bootstrapOf({
        listeners: [httpListener("in", { routes: [], accessLogPath: "/dev/null", accessLogFormat: "%NOPE%" })],
      }),
      ["access_log[0].typed_config.log_format", "NOPE"],
    ],
    [
      "two tag rules without a group",
      bootstrapOf({ more: { stats_config: { stats_tags: [{ tag_name: "a", regex: "b" }] } } }),
      ["stats_config.stats_tags[0]", "needs a group"],
    ],
  ])("%s is named with file and field, and ends it with 1", async (_, bootstrap, words) => {
    const config = files.write("bad.yaml", bootstrap);
    const { code, stderr } = await run("--mode", "validate", "-c", config).ended;
    expect(code).toBe(1);
    for (const word of words) expect(stderr).toContain(word);
  });

  test("a bootstrap that is not there, and one that is no YAML", async () => {
    const missing = await run("-c", join(files.path, "none.yaml")).ended;
    expect(missing).toMatchObject({ code: 1 });
    expect(missing.stderr).toContain("there is no such file");
    const broken = await run("-c", files.write("broken.yaml", "static_resources: [\n  }")).ended;
    expect(broken).toMatchObject({ code: 1 });
    expect(broken.stderr).toContain("broken.yaml:2:");
  });

  test.each([
    [["--nope"], "--nope"],
    [["--concurrency", "many", "-c", "x"], "--concurrency many: a whole number is needed"],
    [["--mode", "fast", "-c", "x"], "serve, validate"],
    [["-l", "loud", "-c", "x"], "one of trace, debug"],
    [[], "-c bootstrap.yaml"],
  ])("%j is refused with the way out", async (args, words) => {
    const { code, stderr } = await run(...args).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(words);
  });

  test("--version and --help", async () => {
    expect((await run("--version").ended).stdout).toMatch(/glassmesh proxy {2}version: [0-9a-f]+\/\d+\.\d+\.\d+\//);
    expect((await run("--help").ended).stdout).toContain("--service-node");
  });

  test("a listener's address that is in use ends it with a message that names it", async () => {
    const taken = await origin("taken");
    const config = files.write(
      "bootstrap.yaml",
      bootstrapOf({ listeners: [httpListener("in", { address: taken, routes: [] })] }),
    );
    const { code, stderr } = await run("-c", config).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("listener in");
    expect(stderr).toContain(taken);
  });

  test("an admin address that is in use likewise", async () => {
    const taken = await origin("taken");
    const [address, port] = taken.split(":");
    const bootstrap = {
      ...bootstrapOf({}),
      admin: { address: { socket_address: { address, port_value: Number(port) } } },
    };
    const { code, stderr } = await run("-c", files.write("bootstrap.yaml", bootstrap)).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot bind the admin interface to ${taken}: the address is in use`);
  });

  test("--config-yaml and --service-node complete the bootstrap", async () => {
    const proxy = await startWith(bootstrapOf({}), {
      args: [
        "--config-yaml",
        "node: { metadata: { A: b } }",
        "--service-node",
        "other",
        "--log-path",
        join(files.path, "log"),
      ],
    });
    const { node } = (await (await proxy.get("/server_info")).json()) as { node: { id: string; metadata: unknown } };
    expect(node).toMatchObject({ id: "other", metadata: { A: "b" } });
    expect(readFileSync(join(files.path, "log"), "utf8")).toContain("[info][main] admin address");
  });
});

describe.each([
  ["DELTA_GRPC", 1],
  ["GRPC", 1],
  ["DELTA_GRPC", 2],
  ["GRPC", 2],
] as const)("proxy/main.ts over ADS (%s), --concurrency %i", (protocol, concurrency) => {
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
  const edsCluster = (name: string): unknown => ({
    name,
    type: "EDS",
    connect_timeout: "1s",
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: "V3" } },
  });
  const endpoints = (name: string, address: string): unknown => staticCluster(name, address)["load_assignment"];

  test("X-76: it is live when clusters, endpoints, listeners and routes are there, and follows changes", async () => {
    const [one, two] = [await origin("one"), await origin("two")];
    const proxy = await startWith(adsBootstrap(ads.address, protocol), {
      until: "admin",
      args: ["--concurrency", String(concurrency)],
    });
    set(TypeUrl.cluster, edsCluster("a"), edsCluster("b"));
    set(TypeUrl.endpoint, endpoints("a", one), endpoints("b", two));
    set(TypeUrl.listener, httpListener("in", { routes: "main" }));
    set(TypeUrl.route, routeConfiguration("main", [route("/", "a")]));
    await poll(proxy, async () => (await proxy.text("/ready")) === "LIVE\n");
    const address = await proxy.address("in");
    const ask = async (): Promise<string> => (await fetch(`http://${address}/`)).text();
    expect(await ask()).toBe("one");

    set(TypeUrl.route, routeConfiguration("main", [route("/", "b")]));
    await poll(proxy, async () => (await ask()) === "two");

    const dump = (await (await proxy.get("/config_dump?include_eds")).json()) as {
      configs: Record<string, unknown[]>[];
    };
    const section = (name: string): Record<string, unknown[]> =>
      dump.configs.find((one_) => String(one_["@type"]).endsWith(`.${name}ConfigDump`)) ?? {};
    expect(section("Clusters")["dynamic_active_clusters"]).toHaveLength(2);
    expect(section("Listeners")["dynamic_listeners"]).toMatchObject([
      { name: "in", active_state: { listener: { name: "in" } } },
    ]);
    expect(section("Routes")["dynamic_route_configs"]).toMatchObject([{ route_config: { name: "main" } }]);
    expect(section("Endpoints")["dynamic_endpoint_configs"]).toMatchObject([
      { endpoint_config: { cluster_name: "a" } },
      { endpoint_config: { cluster_name: "b" } },
    ]);

    expect(await proxy.text("/stats?filter=rds.*update_success")).toBe("http.in.rds.main.update_success: 2\n");
    set(TypeUrl.listener);
    await poll(proxy, () => refuses(address));
    expect(await proxy.text("/listeners")).toBe("");
  });

  test("X-72: what is refused is named to the server, kept out, and shown; what is good beside it is applied", async () => {
    const one = await origin("one");
    const proxy = await startWith(adsBootstrap(ads.address, protocol), {
      until: "admin",
      args: ["--concurrency", String(concurrency)],
    });
    set(TypeUrl.cluster, staticCluster("good", one), {
      ...staticCluster("bad", one),
      dns_lookup_family: "V6_ONLY",
      track_cluster_stats: { timeout_budgets: true },
    });
    set(TypeUrl.listener, httpListener("in", { routes: [route("/", "good")] }));
    const nack = await ads.request(
      (request) => "errorDetail" in request && request.errorDetail !== undefined && request.typeUrl === TypeUrl.cluster,
    );
    expect(nack.errorDetail?.message).toContain("bad");
    expect(nack.errorDetail?.message).toContain("dns_lookup_family");
    await poll(proxy, async () => (await proxy.text("/ready")) === "LIVE\n");
    expect(await (await fetch(`http://${await proxy.address("in")}/`)).text()).toBe("one");
    expect(await proxy.text("/stats?filter=cds.update_rejected")).toBe("cluster_manager.cds.update_rejected: 1\n");
  });
});

/** Whether nothing listens there. */
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
