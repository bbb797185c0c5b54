/** Paths and access log formats. */
import { normalizePath } from "#proxy/http/path-normalization.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { CHECKING, compileFormat } from "#proxy/observability/access-log/format.ts";
import { compileJsonFormat } from "#proxy/observability/access-log/json-format.ts";
import { StreamInfo } from "#proxy/stream-info.ts";
import type { FuzzTarget } from "../fuzz.ts";

const escapes = ["keep", "reject", "redirect", "forward"] as const;

/** The first byte chooses the configuration. What was made right stays as it is, and no dot segment is left. */
export const path: FuzzTarget = {
  name: "path",
  dictionary: ["/", "//", "/../", "/./", "%2f", "%5C", "%2e%2e", "%00", "\\", "?", "#", "%", "%e2%82%ac", "..;"],
  seeds: ["\x00/a/../b", "\x01/a%2Fb//c", "\x06/a/./b?x=/../", "\x07/%41%2e"].map((text) =>
    Buffer.from(text, "latin1"),
  ),
  run(bytes) {
    const choice = bytes[0] ?? 0;
    const config = {
      normalizePath: (choice & 4) === 0,
      mergeSlashes: (choice & 8) !== 0,
      escapedSlashes: escapes[choice & 3] ?? "keep",
    } as Parameters<typeof normalizePath>[1];
    const before = `/${bytes.toString("latin1", 1)}`;
    const after = normalizePath(before, config);
    if (after === undefined || after.kind === "reject") return;
    if (!after.path.startsWith("/")) throw new Error(`${after.path} is no path`);
    const plain = after.path.split("?", 1)[0] ?? "";
    if (config.normalizePath && plain.split("/").some((part) => part === ".." || part === "."))
      throw new Error(`dots are left in ${after.path}`);
    const again = normalizePath(after.path, config);
    if (config.normalizePath && again !== undefined && again.kind === "ok" && again.path !== after.path)
      throw new Error(`${JSON.stringify(before)} becomes ${after.path}, and then ${again.path}`);
  },
};

export const accessLogFormat: FuzzTarget = {
  name: "access-log-format",
  dictionary: [
    "%",
    "%%",
    "%REQ(",
    "%REQ(:PATH)%",
    "%REQ(A?B):5%",
    "%RESP(X)%",
    "%START_TIME(%Y-%m-%d %3f %s)%",
    "%DURATION%",
    "%COMMON_DURATION(DS_RX_BEG:US_TX_END:ms)%",
    "%DYNAMIC_METADATA(a:b:c):7%",
    "%FILTER_STATE(a:PLAIN:b)%",
    "%ENVIRONMENT(PATH)%",
    "%QUERY_PARAM(x):3%",
    "%PATH(NQ:ORIG)%",
    "%CEL(request.path == '/')%",
    "%DOWNSTREAM_PEER_CERT_V_START(%b %d)%",
    ":",
    ")",
    "%SUBSTR",
    "%COALESCE({})%",
  ],
  seeds: [
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%\n',
    "%UPSTREAM_HOST% %BYTES_SENT% %DYNAMIC_METADATA(a:b)% %FILTER_STATE(x:TYPED)% %CEL(request.headers['a'].size() > 1)%",
  ].map((text) => Buffer.from(text, "latin1")),
  run(bytes) {
    const text = bytes.toString("latin1");
    const headers = HeaderMap.of({ ":method": "GET", ":path": "/x?y=z", ":authority": "a", a: "b" });
    const context = {
      info: new StreamInfo(),
      requestHeaders: headers,
      responseHeaders: HeaderMap.of({ ":status": "200" }),
    };
    for (const { value, problems } of [
      compileFormat(text, { environment: CHECKING }),
      compileJsonFormat({ x: text, y: [text] }, { environment: CHECKING }),
    ]) {
      if ((value === undefined) !== problems.length > 0) throw new Error("neither a format nor a problem");
      const line = value?.(context);
      if (line !== undefined && typeof line !== "string") throw new Error("no text");
    }
  },
};
