/** Every target of the fuzzer. */
import type { FuzzTarget } from "../fuzz.ts";
import { bootstrap, rbac, routes, xds } from "./configuration.ts";
import { http1Client, http1Server } from "./http1.ts";
import { hpack, http2Client, http2Server } from "./http2.ts";
import { http, proxyProtocol, tls } from "./inspectors.ts";
import { accessLogFormat, path } from "./text.ts";

export const targets: readonly FuzzTarget[] = [
  http1Server,
  http1Client,
  http2Server,
  http2Client,
  hpack,
  path,
  accessLogFormat,
  proxyProtocol,
  tls,
  http,
  rbac,
  routes,
  xds,
  bootstrap,
];
