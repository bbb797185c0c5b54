/** compressor. */
import { request as nodeRequest } from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import type { Case, Exchange, Json } from "../harness/case.ts";
import { answer, filter, forward } from "../harness/requests.ts";
import { http, before, perRoute } from "./filters-shared.ts";

const libraries = {
  gzip: "envoy.extensions.compression.gzip.compressor.v3.Gzip",
  br: "envoy.extensions.compression.brotli.compressor.v3.Brotli",
  zstd: "envoy.extensions.compression.zstd.compressor.v3.Zstd",
} as const;

const compress = (encoding: keyof typeof libraries, fields: Json = {}): Json =>
  filter(`c-${encoding}`, `${http}.compressor.v3.Compressor`, {
    compressor_library: { name: encoding, typed_config: { "@type": `type.googleapis.com/${libraries[encoding]}` } },
    ...fields,
  });

/** The head of the answer, then its body decoded: two libraries need not write the same bytes. */
function decoded(fields: Readonly<Record<string, string>>, path = "/"): Exchange {
  return {
    kind: "own",
    run: (side, id) =>
      new Promise((resolve, reject) => {
        const headers = { host: `${id}.test`, "x-case": id, connection: "close", ...fields };
        nodeRequest({ port: side.port(id), host: "127.0.0.1", path, headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const head = response.rawHeaders
              .filter((_text, at) => at % 2 === 0)
              .map((name) => `${name}: ${String(response.headers[name.toLowerCase()])}`);
            resolve(
              [
                response.statusCode,
                ...head.toSorted(),
                "",
                decompressed(Buffer.concat(chunks), response.headers["content-encoding"]),
              ].join("\n"),
            );
          });
        })
          .on("error", reject)
          .end();
      }),
  };
}

function decompressed(body: Buffer, encoding: string | undefined): string {
  if (encoding === "gzip") return gunzipSync(body).toString();
  if (encoding === "br") return brotliDecompressSync(body).toString();
  if (encoding === "zstd") return zstdDecompressSync(body).toString();
  return body.toString();
}

const page = "all work and no play ".repeat(40);

const accepting = (encoding: string): Exchange => decoded({ "accept-encoding": encoding });

function compression(
  name: string,
  filters: readonly Json[],
  exchanges: readonly Exchange[],
  more: Partial<Case> = {},
): Case {
  const sizes = "the libraries write other bytes";
  const except = filters.flatMap((_one, at) => {
    const lib = ["gzip.gzip", "br.brotli", "zstd.zstd"];
    return lib.flatMap((each) =>
      ["", "response.", "request."].map((way) => [
        `compressor.${each}.${way}total_compressed_bytes`,
        at >= 0 ? sizes : "",
      ]),
    );
  });
  return {
    name: `compressor: ${name}`,
    manager: before(...filters),
    answers: answer(200, { "content-type": "text/plain" }, page),
    exchanges,
    ...more,
    blur: [[/sent=\d+/g, "sent=N"]],
    statsExcept: Object.fromEntries(except) as Readonly<Record<string, string>>,
  };
}

export const compressorCases: readonly Case[] = [
  compression(
    "gzip",
    [compress("gzip")],
    [accepting("gzip"), accepting("gzip, br"), decoded({}), decoded({ "accept-encoding": "gzip" }, "/again")],
  ),
  compression("brotli", [compress("br")], [accepting("br"), accepting("gzip;q=1, br;q=0.1")]),
  compression("zstd", [compress("zstd")], [accepting("zstd")]),
  compression(
    "weights",
    [compress("gzip")],
    [
      accepting("gzip;q=0"),
      accepting("identity;q=1, gzip;q=0.5"),
      accepting("*"),
      accepting("gzip;q=x"),
      accepting("deflate"),
      accepting("GZIP"),
      accepting("*;q=0.1, identity;q=0.2"),
    ],
  ),
  compression(
    "the client's liking among two",
    [compress("gzip"), compress("br")],
    [accepting("gzip, br"), accepting("br, gzip"), accepting("gzip;q=0.5, br"), accepting("*")],
  ),
  compression("too short", [compress("gzip")], [accepting("gzip")], {
    answers: answer(200, { "content-type": "text/plain" }, "short"),
  }),
  compression("a type that is not", [compress("gzip")], [accepting("gzip")], {
    answers: answer(200, { "content-type": "image/png" }, page),
  }),
  compression(
    "types and length of one's own",
    [
      compress("gzip", {
        response_direction_config: { common_config: { min_content_length: 2, content_type: ["x/y"] } },
      }),
    ],
    [accepting("gzip")],
    { answers: answer(200, { "content-type": "x/y; charset=z" }, "abcd") },
  ),
  compression("chunked", [compress("gzip")], [accepting("gzip")], {
    answers: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
  }),
  compression("tags", [compress("gzip")], [accepting("gzip"), accepting("gzip")], {
    answers: [answer(200, { etag: '"strong"' }, page), answer(200, { etag: 'W/"weak"' }, page)],
  }),
  compression(
    "tags that forbid it",
    [compress("gzip", { response_direction_config: { disable_on_etag_header: true } })],
    [accepting("gzip")],
    { answers: answer(200, { etag: '"strong"' }, page) },
  ),
  compression(
    "tags that are weakened",
    [compress("gzip", { response_direction_config: { weaken_etag_on_compress: true } })],
    [accepting("gzip")],
    { answers: answer(200, { etag: '"strong"' }, page) },
  ),
  compression(
    "vary, no-transform, encoded already",
    [compress("gzip")],
    [accepting("gzip"), accepting("gzip"), accepting("gzip")],
    {
      answers: [
        answer(200, { vary: "Cookie" }, page),
        answer(200, { "cache-control": "no-transform" }, page),
        answer(200, { "content-encoding": "x" }, page),
      ],
    },
  ),
  compression(
    "statuses that are not",
    [compress("gzip", { response_direction_config: { uncompressible_response_codes: [404] } })],
    [accepting("gzip")],
    { answers: answer(404, {}, page) },
  ),
  compression(
    "accept-encoding is removed",
    [compress("gzip", { response_direction_config: { remove_accept_encoding_header: true } })],
    [accepting("gzip")],
  ),
  compression("a route without", [compress("gzip")], [accepting("gzip")], {
    routes: [forward({}, perRoute("c-gzip", `${http}.compressor.v3.CompressorPerRoute`, { disabled: true }))],
  }),
  compression("an answer of the proxy", [compress("gzip")], [accepting("gzip")], {
    routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: page } } }],
  }),
];
