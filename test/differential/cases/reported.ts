/** What was once seen to differ, and does so no more. */
import type { Case, Json } from "../harness/case.ts";
import { answer, forward, get, http2, raw, requestText } from "../harness/requests.ts";

const adds = (name: string, value: string): Json => ({ header: { key: name, value } });
const formats = [
  adds("x-log-type", "%ACCESS_LOG_TYPE%"),
  adds("x-variable", "%ENVIRONMENT(GLASSMESH_NOT_THERE)%"),
  adds("x-mixed", "a%ENVIRONMENT(GLASSMESH_NOT_THERE)%b"),
  adds("x-path", "%ENVIRONMENT(PATH):1%"),
];

export const reportedCases: readonly Case[] = [
  {
    name: "operators in headers that have nothing to say",
    virtualHost: { request_headers_to_add: formats, response_headers_to_add: formats },
    exchanges: [get("/")],
  },
  ...["\0", "\x01", "\x7f"].map((character): Case => ({
    name: `a control character in a header: ${JSON.stringify(character)}`,
    manager: {},
    exchanges: [raw(requestText("GET", "/", { "x-a": `b${character}c` }))],
  })),
  ...["\0", " ", "\x80", "("].map((character): Case => ({
    name: `a character in the name of a header: ${JSON.stringify(character)}`,
    manager: {},
    exchanges: [raw(requestText("GET", "/", { [`x-${character}a`]: "b" }))],
  })),
  {
    name: "101 that nobody asked for",
    answers: [answer(101, { upgrade: "x", connection: "upgrade" })],
    exchanges: [get("/")],
    differs: {
      why: "after a 101 that nobody asked for the two ends no longer agree on what the bytes mean: it goes no further",
      ours: /^HTTP\/1\.1 502 [^]*protocol error$/,
    },
  },
  {
    name: "retries are used up by a connection that fails",
    clusters: { "": { $backends: ["none"] } },
    routes: [
      forward({
        retry_policy: { retry_on: "connect-failure", num_retries: 1, retry_back_off: { base_interval: "0.001s" } },
      }),
    ],
    exchanges: [get("/")],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
  },
  {
    name: "escaped slashes refused and redirected, with what the route adds to responses",
    manager: { path_with_escaped_slashes_action: "UNESCAPE_AND_REDIRECT" },
    virtualHost: { response_headers_to_add: [adds("x-added", "yes")] },
    exchanges: [get("/a%2fb"), http2("/a%5Cb"), get("/ok")],
  },
  {
    name: "escaped slashes refused, with what the route adds to responses",
    manager: { path_with_escaped_slashes_action: "REJECT_REQUEST" },
    virtualHost: { response_headers_to_add: [adds("x-added", "yes")] },
    exchanges: [get("/a%2fb"), http2("/a%5Cb"), get("/ok")],
  },
];
