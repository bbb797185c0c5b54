/** Many route tables, a listener each, and their requests one after the other on one connection to each. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { blur } from "./blur.ts";
import type { Json } from "./case.ts";
import { exchangeRaw, openPlain } from "./client.ts";
import { router } from "./requests.ts";
import { startSide, type Side } from "./side.ts";

export interface RandomTable {
  readonly seed: number;
  readonly routes: Json;
  readonly manager: Json;
  readonly requests: readonly string[];
}

/** For each table, for each request: what came back, with what the upstream was sent as its body. */
export async function randomOutcomes(
  tables: readonly RandomTable[],
  envoyBinary: string,
): Promise<Readonly<Record<Side["name"], readonly (readonly string[])[]>>> {
  const echo = await startEcho();
  const bootstrap = bootstrapOf(tables, (echo.address() as AddressInfo).port);
  const started = await Promise.allSettled([
    startSide({ name: "envoy", binary: envoyBinary }, bootstrap, () => undefined),
    startSide({ name: "ours" }, bootstrap, () => undefined),
  ]);
  try {
    for (const one of started) if (one.status === "rejected") throw one.reason;
    const sides = started.filter((one) => one.status === "fulfilled").map((one) => one.value);
    const outcomes: Record<Side["name"], string[][]> = { envoy: [], ours: [] };
    await Promise.all(
      sides.map(async (side) => {
        for (const [index, { requests }] of tables.entries())
          outcomes[side.name].push(await exchangeAll(requests, side.port(`t${index}`)));
      }),
    );
    return outcomes;
  } finally {
    for (const one of started) if (one.status === "fulfilled") await one.value.stop();
    echo.close();
  }
}

/** Each on a connection of its own: an answer may end it. Eight at a time. */
async function exchangeAll(requests: readonly string[], port: number): Promise<string[]> {
  const answers: string[] = [];
  const queue = [...requests.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, request] = next;
      answers[index] = blur(await exchangeRaw({ kind: "raw", steps: [request] }, () => openPlain(port)));
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return answers;
}

function bootstrapOf(tables: readonly RandomTable[], echoPort: number): Json {
  const at = (port: number | string): Json => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const type = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  return {
    stats_flush_interval: "60s",
    admin: { address: at("port:any") },
    static_resources: {
      listeners: tables.map(({ routes, manager }, index) => ({
        name: `t${index}`,
        address: at("port:any"),
        filter_chains: [
          {
            filters: [
              {
                name: "http",
                typed_config: {
                  "@type": type,
                  stat_prefix: "t",
                  route_config: routes,
                  http_filters: [router],
                  ...manager,
                },
              },
            ],
          },
        ],
      })),
      clusters: [
        {
          name: "echo",
          type: "STATIC",
          load_assignment: {
            cluster_name: "echo",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: at(echoPort) } }] }],
          },
        },
      ],
    },
  };
}

/** Answers every request with its own head: none of them has a body. */
function startEcho(): Promise<Server> {
  const server = createServer((socket: Socket) => {
    let text = "";
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${head.length}\r\n\r\n${head}`, "latin1");
      }
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
