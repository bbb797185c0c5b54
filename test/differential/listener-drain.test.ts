/** How open connections are wound up, beside a real Envoy: a failed health check, and `/drain_listeners`. */
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { needEnvoy } from "../needs.ts";
import type { Json } from "./harness/case.ts";
import { router } from "./harness/requests.ts";
import { startSide, type Side } from "./harness/side.ts";

const type = "type.googleapis.com/envoy.extensions";
const need = needEnvoy();

const listener = (name: string, more: Json = {}): Json => ({
  name,
  address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
  filter_chains: [
    {
      filters: [
        {
          name: "http",
          typed_config: {
            "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: name,
            drain_timeout: "0.1s",
            route_config: {
              virtual_hosts: [
                {
                  name: "all",
                  domains: ["*"],
                  routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "ok" } } }],
                },
              ],
            },
            http_filters: [router],
          },
        },
      ],
    },
  ],
  ...more,
});
const bootstrap: Json = {
  static_resources: {
    listeners: [
      listener("plain"),
      listener("modified", { drain_type: "MODIFY_ONLY" }),
      listener("inbound", { traffic_direction: "INBOUND" }),
    ],
  },
  admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A connection that is kept: what each request on it is told of its end. */
async function http1(side: Side, name: string) {
  const socket: Socket = connect(side.port(name), "127.0.0.1");
  let text = "";
  let isClosed = false;
  socket.on("data", (chunk) => (text += chunk.toString("latin1")));
  socket
    .on("error", () => undefined)
    .on("end", () => (isClosed = true))
    .on("close", () => (isClosed = true));
  await new Promise((resolve) => socket.once("connect", resolve).once("error", resolve));
  return {
    async ask(): Promise<string> {
      text = "";
      socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      for (let wait = 0; wait < 40 && !text.endsWith("ok") && !isClosed; wait++) await pause(25);
      return /\r\nconnection: close\r\n/.test(text) ? "last" : text.endsWith("ok") ? "kept" : "nothing";
    },
    end: () => socket.destroy(),
  };
}

/** Which GOAWAYs a connection gets with its next request. */
async function goAways(side: Side, name: string, act: () => Promise<unknown>): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${side.port(name)}`);
  session.on("error", () => undefined);
  const request = (): Promise<void> =>
    new Promise((resolve) => {
      const stream = session.request({ ":path": "/" });
      stream.on("error", () => undefined);
      stream.resume();
      stream.once("close", resolve);
    });
  await request();
  let count = 0;
  session.on("goaway", (code) => (count += code === 0 ? 1 : 100));
  await act();
  if (!session.destroyed) await request();
  await pause(600);
  const outcome = `${count > 0 ? "goaway" : "none"} ${session.destroyed || session.closed ? "closed" : "open"}`;
  session.destroy();
  return outcome;
}

async function accepts(side: Side, name: string): Promise<string> {
  const client = await http1(side, name);
  const answer = await client.ask();
  client.end();
  return answer;
}

const scenarios: Readonly<Record<string, (side: Side) => Promise<readonly string[]>>> = {
  "a failed health check winds up what is there, but for MODIFY_ONLY": async (side) => {
    const [plain, modified] = [await http1(side, "plain"), await http1(side, "modified")];
    const seen = [await plain.ask(), await modified.ask()];
    seen.push(await goAways(side, "plain", () => side.post("/healthcheck/fail")));
    seen.push(await plain.ask(), await modified.ask());
    seen.push(await accepts(side, "plain"), await accepts(side, "modified"));
    await side.post("/healthcheck/ok");
    seen.push(await accepts(side, "plain"));
    plain.end();
    modified.end();
    return seen;
  },
  "drain_listeners of inbound ones stops those": async (side) => {
    const [plain, inbound] = [await http1(side, "plain"), await http1(side, "inbound")];
    const seen = [await plain.ask(), await inbound.ask(), await side.post("/drain_listeners?inboundonly")];
    seen.push(await accepts(side, "plain"), await accepts(side, "inbound"));
    plain.end();
    inbound.end();
    return seen;
  },
  "drain_listeners gracefully, and not to the end": async (side) => {
    const plain = await http1(side, "plain");
    const seen = [await plain.ask(), await side.post("/drain_listeners?skip_exit")];
    seen.push(await accepts(side, "plain"), await accepts(side, "inbound"));
    seen.push(await side.post("/drain_listeners?graceful&skip_exit"));
    seen.push(await plain.ask(), await accepts(side, "plain"));
    plain.end();
    return seen;
  },
  "drain_listeners stops all": async (side) => {
    const seen = [await side.post("/drain_listeners")];
    await pause(100);
    seen.push(await accepts(side, "plain"), await accepts(side, "modified"));
    return seen;
  },
};

const args = ["--drain-time-s", "60", "--drain-strategy", "immediate"];

describe.skipIf(need.missing !== undefined)("winding up, beside a real Envoy", () => {
  test.each(Object.entries(scenarios))("%s", async (_name, scenario) => {
    const outcomes = await Promise.all(
      ([{ name: "envoy", binary: need.path }, { name: "ours" }] as const).map(async (program) => {
        const side = await startSide(program, bootstrap, () => undefined, args);
        try {
          return await scenario(side);
        } finally {
          await side.stop();
        }
      }),
    );
    expect(outcomes[1]).toEqual(outcomes[0]);
  });
});
