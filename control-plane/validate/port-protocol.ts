/** The protocol of a port, as ServiceEntry and Sidecar write it. */
import { protocolFromName } from "../model/protocol.ts";
import { stringOf } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";

/** Left out, it is detected. */
export function expectPortProtocol(findings: Findings, path: string, value: unknown): void {
  const protocol = stringOf(value) ?? "";
  if (protocol === "" || protocolFromName(protocol) !== "auto") return;
  const allowed = "HTTP, HTTPS, HTTP2, GRPC, GRPC-Web, HTTP_PROXY, TLS, TCP, UDP, MONGO, MYSQL, REDIS";
  findings.refuse(path, `${JSON.stringify(protocol)} must be one of ${allowed}, or left out to be detected.`);
}
