/** Network filters beside a real Envoy: connections to listeners that echo. */
import { connect } from "node:net";
import type { Case, Exchange, Json } from "./harness/case.ts";
import { filter } from "./harness/requests.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
import type { Side } from "./harness/side.ts";

const network = "envoy.extensions.filters.network";

function echoing(name: string, ...filters: readonly Json[]): Json {
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: "port:any" } },
    filter_chains: [{ filters: [...filters, filter("echo", `${network}.echo.v3.Echo`)] }],
  };
}

/** What comes back for `hi`: the echo, or how the connection ended. */
function open(side: Side, listener: string): Promise<{ readonly said: string; close(): Promise<void> }> {
  return new Promise((resolve) => {
    const socket = connect(side.port(listener), "127.0.0.1", () => socket.write("hi"));
    const close = (): Promise<void> =>
      new Promise((closed) => {
        socket.once("close", () => closed());
        socket.destroy();
      });
    socket.once("data", (chunk) => resolve({ said: chunk.toString(), close }));
    socket.once("error", () => resolve({ said: "closed", close: () => Promise.resolve() }));
    socket.once("close", () => resolve({ said: "closed", close: () => Promise.resolve() }));
  });
}

/** Connections one after the other; each stays open to the end if `isHeld`. */
function connections(listener: string, count: number, isHeld: boolean, stats: string): Exchange {
  return {
    kind: "own",
    async run(side) {
      const said: string[] = [];
      const held: (() => Promise<void>)[] = [];
      for (let i = 0; i < count; i++) {
        const one = await open(side, listener);
        said.push(one.said);
        if (isHeld) held.push(() => one.close());
        else await one.close();
      }
      const page = await side.admin(`/stats?filter=${encodeURIComponent(stats)}`);
      for (const close of held) await close();
      // When a proxy hears of the end of a connection is a race: only those that are held are counted as open.
      const lines = page.split("\n").filter((line) => isHeld || !line.includes("active_connections"));
      return `${said.join(" ")}\n${lines.toSorted().join("\n")}`;
    },
  };
}

const rate = (name: string, fields: Json = {}): Json =>
  filter("lrl", `${network}.local_ratelimit.v3.LocalRateLimit`, {
    stat_prefix: name,
    token_bucket: { max_tokens: 2, fill_interval: "60s" },
    ...fields,
  });
const limit = (name: string, fields: Json = {}): Json =>
  filter("cl", `${network}.connection_limit.v3.ConnectionLimit`, { stat_prefix: name, max_connections: 2, ...fields });
const off = { runtime_enabled: { default_value: false, runtime_key: "no.such.key" } };

const shapes: readonly (readonly [name: string, filter: Json, isHeld: boolean])[] = [
  ["rate", rate("rate"), false],
  ["rate-held", rate("rate-held"), true],
  ["rate-off", rate("rate-off", off), false],
  [
    "rate-filling",
    rate("rate-filling", { token_bucket: { max_tokens: 3, tokens_per_fill: 3, fill_interval: "60s" } }),
    false,
  ],
  ["limit", limit("limit"), true],
  ["limit-in-turn", limit("limit-in-turn", { max_connections: 9 }), false],
  ["limit-off", limit("limit-off", off), true],
  ["limit-delayed", limit("limit-delayed", { delay: "0.1s" }), true],
];

const cases: readonly Case[] = shapes.map(([name, , isHeld]) => ({
  name: `network filters: ${name}`,
  exchanges: [connections(name, 4, isHeld, `^(local_rate_limit|connection_limit)\\.${name}\\.`)],
  logs: 0,
}));

describeBesideEnvoy("network filters, beside a real Envoy", {
  cases,
  listeners: shapes.map(([name, one]) => echoing(name, one)),
});
