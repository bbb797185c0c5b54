/** The same rules and the same requests, for a real Envoy and for ours: the same verdicts, details, metadata and counts. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { bootstrapOf, httpListener } from "#proxy/testing/bootstraps.ts";
import { startProxy, workspace, type Workspace } from "#proxy/testing/proxy-process.ts";
import { needEnvoy } from "../needs.ts";

const envoy = needEnvoy();
if (envoy.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${envoy.missing}\n`);

type Json = Readonly<Record<string, unknown>>;

const ANY = [{ any: true }];
const asked = (permission: Json): Json => ({ permissions: [permission], principals: ANY });
const asker = (principal: Json): Json => ({ permissions: ANY, principals: [principal] });
const allow = (policy: Json): Json => ({ rules: { policies: { "the policy": policy } } });
const deny = (policy: Json): Json => ({ rules: { action: "DENY", policies: { "the policy": policy } } });
const header = (name: string, stringMatch: Json, more: Json = {}): Json => ({ header: { name, stringMatch, ...more } });
const path = (matcher: Json): Json => ({ urlPath: { path: matcher } });
const template = (pathTemplate: string): Json => ({
  uriTemplate: {
    name: "uri-template",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      pathTemplate,
    },
  },
});
const named = (principalName: Json): Json => ({ authenticated: { principalName } });

/** One listener each. */
const RULES: Readonly<Record<string, Json>> = {
  denyTemplate: deny(asked(template("/c/*/d"))),
  allowTemplate: allow(asked(template("/e/**"))),
  denyPrefix: deny(asked(path({ prefix: "/a" }))),
  denySuffix: deny(asked(path({ suffix: "/d" }))),
  allowAnyPath: allow(asked(path({ safeRegex: { regex: "/.+" } }))),
  allowPattern: allow(asked(header("X-H", { safeRegex: { regex: "a.*" } }))),
  denyOthers: deny(asked({ notRule: header("x-h", { exact: "a" }) })),
  denyInverted: deny(asked(header("x-h", { exact: "a" }, { invertMatch: true }))),
  denyJoined: deny(asked(header("x-h", { exact: "a,b" }))),
  denySecond: deny(asked(header("x-h", { exact: "b" }))),
  denyRange: deny(asked({ header: { name: "x-h", rangeMatch: { start: 1, end: 9 } } })),
  denyPresent: deny(asked({ header: { name: "x-h", presentMatch: true } })),
  denyAbsent: deny(asked({ header: { name: "x-h", presentMatch: false } })),
  denyInvertedMissingAsEmpty: deny(
    asked(header("x-h", { exact: "a" }, { invertMatch: true, treatMissingHeaderAsEmpty: true })),
  ),
  denyMissingAsEmpty: deny(asked(header("x-h", { exact: "" }, { treatMissingHeaderAsEmpty: true }))),
  denyHost: deny(asked(header(":authority", { suffix: ".example", ignoreCase: true }))),
  denyMethod: deny(asked(header(":method", { exact: "PUT" }))),
  allowPeer: allow(asker({ directRemoteIp: { addressPrefix: "127.0.0.0", prefixLen: 8 } })),
  allowClient: allow(asker({ remoteIp: { addressPrefix: "192.0.2.0", prefixLen: 24 } })),
  denyClient: deny(asker({ notId: { remoteIp: { addressPrefix: "192.0.2.0", prefixLen: 24 } } })),
  allowNamed: allow(asker(named({ safeRegex: { regex: ".*" } }))),
  denyUnnamed: deny(asker({ notId: named({ safeRegex: { regex: ".+" } }) })),
  allowServerName: allow(asked({ requestedServerName: { exact: "" } })),
  allowNothing: { rules: {} },
  denyNothing: { rules: { action: "DENY" } },
  logAndShadow: {
    rules: { action: "LOG", policies: { log: asked(path({ prefix: "/a" })) } },
    rulesStatPrefix: "own",
    shadowRules: {
      action: "DENY",
      policies: { "sh b": asked(path({ prefix: "/c" })), sh: asked(path({ prefix: "/c/x" })) },
    },
    shadowRulesStatPrefix: "istio_dry_run_deny_",
    trackPerRuleStats: true,
  },
};

const REQUESTS: readonly string[] = [
  "/",
  "/a",
  "/a?x=/d",
  "/A",
  "/c/x/d",
  "/c/x/d?q",
  "/c/*/d",
  "/c/x/y/d",
  "/c//d",
  "/c/%2A/d",
  "/c/x;p=1/d",
  "/e",
  "/e/",
  "/e/f/g",
  "/e/f//g",
  "/e/*",
].map((target) => `GET ${target} HTTP/1.1\r\nhost: a\r\n`);
const MORE: readonly string[] = [
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: a\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nX-H: ab\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: a\xff\xfe\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: a\r\nx-h: b\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: b\r\nx-h: a\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: a,b\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: c\r\nx-h: c\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h: 12\r\nx-h: 5\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-h:\r\n",
  "GET / HTTP/1.1\r\nhost: Shop.EXAMPLE\r\n",
  "GET / HTTP/1.1\r\nhost: shop.example:8080\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.7\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.7, 10.0.0.1\r\n",
  "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: nonsense\r\n",
  "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n",
];

const FORMAT =
  "%REQ(X-CASE)%|%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|%DYNAMIC_METADATA(envoy.filters.http.rbac)%|%DYNAMIC_METADATA(envoy.common)%\n";

function bootstrap(log: string): unknown {
  const listeners = Object.entries(RULES).map(([name, fields]) =>
    httpListener(name, {
      routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }],
      accessLogPath: log,
      accessLogFormat: FORMAT,
      httpFilters: [
        {
          name: "envoy.filters.http.rbac",
          typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", ...fields },
        },
      ],
    }),
  );
  const tcp = Object.entries(NETWORK_RULES).map(([name, fields]) => tcpListener(name, fields, `${log}.tcp`));
  return bootstrapOf({ listeners: [...listeners, ...tcp] });
}

/** The same for connections: each echoes what it is sent, unless it is refused. */
const NETWORK_RULES: Readonly<Record<string, Json>> = {
  tcpAllowPeer: allow(asker({ directRemoteIp: { addressPrefix: "127.0.0.0", prefixLen: 8 } })),
  tcpAllowOthers: allow(asker({ remoteIp: { addressPrefix: "192.0.2.0", prefixLen: 24 } })),
  tcpDenyUnnamed: deny(asker({ notId: named({ safeRegex: { regex: ".+" } }) })),
  tcpDenyNotPath: deny(asked({ notRule: path({ prefix: "/" }) })),
  tcpAllowPath: allow(asked(path({ prefix: "/" }))),
  tcpDenyPort: deny(asked({ destinationPortRange: { start: 1, end: 65_536 } })),
  tcpAllowNothing: { rules: {} },
  tcpShadow: {
    shadowRules: { policies: { sh: asker({ sourceIp: { addressPrefix: "127.0.0.1", prefixLen: 32 } }) } },
    shadowRulesStatPrefix: "istio_dry_run_allow_",
  },
};

const TCP_FORMAT =
  "%FILTER_CHAIN_NAME%|%CONNECTION_TERMINATION_DETAILS%|%DYNAMIC_METADATA(envoy.filters.network.rbac)%\n";

function tcpListener(name: string, fields: Json, log: string): Json {
  const type = "type.googleapis.com/envoy.extensions";
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    access_log: [
      {
        name: "file",
        typed_config: {
          "@type": `${type}.access_loggers.file.v3.FileAccessLog`,
          path: log,
          log_format: { text_format_source: { inline_string: TCP_FORMAT } },
        },
      },
    ],
    filter_chains: [
      {
        name,
        filters: [
          {
            name: "envoy.filters.network.rbac",
            typed_config: { "@type": `${type}.filters.network.rbac.v3.RBAC`, stat_prefix: `${name}.`, ...fields },
          },
          { name: "envoy.filters.network.echo", typed_config: { "@type": `${type}.filters.network.echo.v3.Echo` } },
        ],
      },
    ],
  };
}

interface Seen {
  /** By case: status, details, metadata. */
  readonly lines: Readonly<Record<string, unknown>>;
  /** By listener: what came back, details, metadata. */
  readonly connections: Readonly<Record<string, unknown>>;
  readonly stats: readonly string[];
}

const folders: Workspace[] = [];
const running: { kill(signal: NodeJS.Signals): unknown }[] = [];
afterAll(() => {
  for (const one of running) one.kill("SIGKILL");
  for (const folder of folders) folder.remove();
});

async function ours(folder: Workspace): Promise<string> {
  const proxy = await startProxy(folder, bootstrap(join(folder.path, "log")), {
    args: ["--file-flush-interval-msec", "50"],
  });
  running.push(proxy);
  return proxy.admin;
}

async function theirs(folder: Workspace): Promise<string> {
  const config = folder.write("bootstrap.json", bootstrap(join(folder.path, "log")));
  const admin = join(folder.path, "admin");
  const flags = ["--use-dynamic-base-id", "--concurrency", "1", "-l", "error", "--file-flush-interval-msec", "50"];
  const child = spawn(envoy.path, ["-c", config, "--admin-address-path", admin, ...flags], { stdio: "ignore" });
  running.push(child);
  await vi.waitFor(
    async () => {
      expect(child.exitCode).toBe(null);
      expect(existsSync(admin)).toBe(true);
      const ready = await fetch(`http://${readFileSync(admin, "utf8")}/ready`);
      expect(await ready.text()).toBe("LIVE\n");
    },
    { timeout: 20_000, interval: 50 },
  );
  return readFileSync(admin, "utf8");
}

/** Sends on a connection of its own, and gives the first that comes back; nothing where it is closed before. */
async function send(address: string, text: string): Promise<string> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => socket.write(text, "latin1"));
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      socket.destroy();
    });
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

async function seenBy(start: (folder: Workspace) => Promise<string>): Promise<Seen> {
  const folder = workspace();
  folders.push(folder);
  const admin = await start(folder);
  const page = async (name: string): Promise<readonly string[]> =>
    (await (await fetch(`http://${admin}${name}`)).text()).split("\n");
  const addresses = new Map(
    (await page("/listeners")).filter((line) => line !== "").map((line) => line.split("::") as [string, string]),
  );
  const requests = [...REQUESTS, ...MORE];
  for (const name of Object.keys(RULES)) {
    for (const [index, request] of requests.entries()) {
      await send(addresses.get(name) ?? "", `${request}x-case: ${name} ${index}\r\nconnection: close\r\n\r\n`);
    }
  }
  const echoed: Record<string, string> = {};
  for (const name of Object.keys(NETWORK_RULES)) echoed[name] = await send(addresses.get(name) ?? "", "GET /");
  const logged = async (file: string, count: number): Promise<readonly string[]> =>
    vi.waitFor(
      () => {
        const all = readFileSync(join(folder.path, file), "latin1").split("\n").slice(0, -1);
        expect(all.length).toBe(count);
        return all;
      },
      { timeout: 10_000, interval: 50 },
    );
  const lines = await logged("log", requests.length * Object.keys(RULES).length);
  const tcpLines = await logged("log.tcp", Object.keys(NETWORK_RULES).length);
  const json = (text: string): unknown => (text === "-" ? undefined : JSON.parse(text));
  const connections = tcpLines.map((line) => {
    const [name = "", details, metadata = ""] = line.split("|");
    return [name, { echoed: echoed[name], details, metadata: json(metadata) }];
  });
  const byCase = lines.map((line) => {
    const [name = "", status, details, metadata = "", common = ""] = line.split("|");
    const [rules = "", index = ""] = name.split(" ");
    return [`${rules}: ${requests[Number(index)]}`, { status, details, rbac: json(metadata), common: json(common) }];
  });
  const stats = (await page("/stats")).filter((line) => /\.rbac\..*: [1-9]/.test(line));
  return {
    lines: Object.fromEntries(byCase) as Seen["lines"],
    connections: Object.fromEntries(connections) as Seen["connections"],
    stats: stats.toSorted(),
  };
}

describe.skipIf(envoy.missing !== undefined)("role-based access control beside a real Envoy", () => {
  test("the same verdicts, details, metadata and counts", async () => {
    const [wanted, own] = await Promise.all([seenBy(theirs), seenBy(ours)]);
    expect(Object.keys(wanted.lines).length).toBe((REQUESTS.length + MORE.length) * Object.keys(RULES).length);
    expect(own.lines).toEqual(wanted.lines);
    expect(Object.keys(wanted.connections).length).toBe(Object.keys(NETWORK_RULES).length);
    expect(own.connections).toEqual(wanted.connections);
    expect(own.stats).toEqual(wanted.stats);
  }, 60_000);
});
