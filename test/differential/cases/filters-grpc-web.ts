/** grpc_web. */
import type { Case, Exchange } from "../harness/case.ts";
import { filter, http2, request } from "../harness/requests.ts";
import { http, before, counts, buffer, frame, leftOver, overHttp2 } from "./filters-shared.ts";

const grpcWeb = filter("gw", `${http}.grpc_web.v3.GrpcWeb`);

const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");

const grpcAnswer = {
  headers: { ":status": 200, "content-type": "application/grpc" },
  body: frame("hello"),
  trailers: { "grpc-status": "0", "grpc-message": "fine" },
};

/** One table's part. */
const grpcWebCase = (name: string, more: Partial<Case> & Pick<Case, "exchanges">): Case => ({
  name: `grpc_web: ${name}`,
  manager: before(grpcWeb),
  ...overHttp2,
  http2Answers: [grpcAnswer],
  ...more,
  statsExcept: { ...overHttp2.statsExcept, ...leftOver, ...more.statsExcept },
});

const call = (type: string, body: string, more: Readonly<Record<string, string>> = {}): Exchange =>
  request("POST", "/pkg.Service/Method", { "content-type": type, ...more }, body);

export const grpcWebCases: readonly Case[] = [
  grpcWebCase("binary", {
    exchanges: [call("application/grpc-web", frame("abc")), call("application/grpc-web+proto", frame("abc"))],
  }),
  grpcWebCase("text", {
    exchanges: [call("application/grpc-web-text", base64(frame("abc")), { accept: "application/grpc-web-text" })],
  }),
  grpcWebCase("a text request, a binary response", {
    exchanges: [call("application/grpc-web-text+proto", base64(frame("abcd")))],
  }),
  grpcWebCase("text that is no base64", {
    // Held back, so that no upstream has begun.
    manager: before(grpcWeb, buffer(1000)),
    statsExcept: {
      downstream_rq_response_before_rq_complete: "Envoy's codec tells of the end of a body after its last bytes",
    },
    exchanges: [call("application/grpc-web-text", "abc"), call("application/grpc-web-text", "a-_=")],
  }),
  grpcWebCase("anything else passes", {
    exchanges: [
      call("application/grpc", frame("abc")),
      call("text/plain", "abc"),
      call("application/grpc-web;x=1", "abc"),
    ],
  }),
  grpcWebCase("only trailers", {
    http2Answers: [
      { headers: { ":status": 200, "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no" } },
    ],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("a response that is no gRPC", {
    http2Answers: [{ headers: { ":status": 503, "content-type": "text/plain" }, body: "some error: 100%" }],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("an answer of the proxy", {
    routes: [{ match: { prefix: "/" }, direct_response: { status: 403, body: { inline_string: "forbidden" } } }],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("over HTTP/2", {
    exchanges: [
      http2(
        "/pkg.Service/Method",
        { "content-type": "application/grpc-web", "grpc-accept-encoding": "gzip" },
        { body: frame("abc") },
      ),
    ],
  }),
  grpcWebCase("is counted", {
    exchanges: [call("application/grpc-web", frame("abc")), counts("cluster\\.{id}\\.grpc-web")],
    logs: 1,
  }),
];
