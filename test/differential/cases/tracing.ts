/** Whether requests are traced, as the reason in their ids shows, and the names of operations on their way. */
import type { Case, Json } from "../harness/case.ts";
import { forward, get, http2, says } from "../harness/requests.ts";

const name = "x-envoy-decorator-operation";
/** Their first digits give 5000 and 9999 of 10,000. */
const ids = ["00001388-0000-4000-8000-000000000000", "0000270f-0000-4000-8000-000000000000"];
const share = (numerator: number, denominator = "HUNDRED"): Json => ({ numerator, denominator });
const route = (prefix: string, more: Json): Json => ({ ...forward(), match: { prefix }, ...more });

const routes: readonly Json[] = [
  route("/named", { decorator: { operation: "op" } }),
  route("/kept", { decorator: { operation: "op", propagate: false } }),
  route("/formatted", { decorator: { operation: "op" }, tracing: { operation: "%REQ(:PATH)%" } }),
  { ...says("direct", { prefix: "/direct" }), decorator: { operation: "direct" } },
  forward(),
];
const exchanges = ["/named", "/kept", "/formatted", "/direct", "/"].flatMap((path) => [
  get(path),
  get(path, { [name]: "given" }),
  get(path, { [name]: "" }),
]);
const answers = `HTTP/1.1 200 OK\r\n${name}: answered\r\ncontent-length: 0\r\n\r\n`;

const samplings: readonly (readonly [string, Json])[] = [
  ["/all", {}],
  ["/none", { random_sampling: share(0) }],
  ["/half", { random_sampling: share(50) }],
  ["/tenthousandth", { random_sampling: share(5001, "TEN_THOUSAND") }],
  ["/millionth", { random_sampling: share(5001, "MILLION") }],
  ["/overall", { overall_sampling: share(0) }],
  ["/client", { client_sampling: share(0), random_sampling: share(0) }],
];

export const tracingCases: readonly Case[] = [
  ...["INBOUND", "OUTBOUND"].flatMap((traffic_direction): Case[] => [
    {
      name: `decorator: ${traffic_direction}`,
      manager: { tracing: {} },
      listener: { traffic_direction },
      routes,
      exchanges,
    },
    {
      name: `decorator: ${traffic_direction}, and the upstream answers with an operation`,
      manager: { tracing: {} },
      listener: { traffic_direction },
      routes,
      answers,
      exchanges,
    },
    {
      name: `decorator: ${traffic_direction}, where an operation names all spans`,
      manager: { tracing: { operation: "all" } },
      listener: { traffic_direction },
      routes,
      answers,
      exchanges,
    },
  ]),
  { name: "decorator: without tracing it does nothing", manager: {}, routes, answers, exchanges },
  {
    name: "Route.tracing: its sampling stands in place of the connection manager's",
    manager: { tracing: { random_sampling: { value: 50 } } },
    routes: [...samplings.map(([prefix, tracing]) => route(prefix, { tracing })), forward()],
    exchanges: [...samplings.map(([prefix]) => prefix), "/"].flatMap((path) => [
      ...ids.map((id) => get(path, { "x-request-id": id })),
      get(path, { "x-request-id": ids[1] ?? "", "x-client-trace-id": "c" }),
      http2(path, { "x-request-id": ids[0] ?? "", "x-envoy-force-trace": "1" }),
    ]),
  },
];
