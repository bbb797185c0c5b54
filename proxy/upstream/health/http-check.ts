/** HTTP health checks (L-54, L-57, L-58). */
import type { StreamEncoder } from "../../http/codec.ts";
import { HeaderMap } from "../../http/header-map.ts";
import { HealthFlag } from "../host.ts";
import { healthCheckInfo, type CheckEnvironment } from "./check-session.ts";
import { matchesPayload, type CheckOutcome, type HttpCheckConfig } from "./health-check-config.ts";
import type { StreamProbe } from "./stream-check.ts";

export class HttpProbe implements StreamProbe {
  readonly protocol: "http1" | "http2";
  readonly #config: HttpCheckConfig;
  readonly #environment: CheckEnvironment;
  #headers: HeaderMap | undefined = undefined;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(config: HttpCheckConfig, environment: CheckEnvironment) {
    this.protocol = config.protocol;
    this.#config = config;
    this.#environment = environment;
  }

  reset(): void {
    this.#headers = undefined;
    this.#body = [];
    this.#bodyBytes = 0;
  }

  send(encoder: StreamEncoder): void {
    const { method, path, host, headers: mutations, send } = this.#config;
    const { hostname, clusterName, isSecure } = this.#environment;
    const headers = HeaderMap.of([
      [":method", method],
      [":authority", hostname || host || clusterName],
      [":path", path],
      [":scheme", isSecure ? "https" : "http"],
      ["user-agent", "Envoy/HC"],
      ...(send === undefined ? [] : ([["content-length", String(send.length)]] as const)),
    ]);
    mutations?.apply(headers, { info: healthCheckInfo(this.#environment.host), requestHeaders: headers });
    encoder.sendHeaders(headers, send === undefined);
    if (send !== undefined) encoder.sendData(send, true);
  }

  onHeaders(headers: HeaderMap): void {
    this.#headers = headers;
  }

  onData(chunk: Buffer): void {
    const { receive, maxBodyBytes } = this.#config;
    const left = maxBodyBytes - this.#bodyBytes;
    if (receive.length === 0 || left <= 0) return;
    const part = Buffer.from(chunk.subarray(0, Math.min(chunk.length, left)));
    this.#body.push(part);
    this.#bodyBytes += part.length;
  }

  onTrailers(): void {}

  judge(): CheckOutcome {
    const headers = this.#headers;
    const status = headers?.status ?? 0;
    const { isExpected, isRetriable, serviceName, receive } = this.#config;
    const failed: CheckOutcome = { kind: "failure", type: "active", isRetriable: false, status };
    if (headers === undefined) return failed;
    if (!isExpected(status)) {
      if (this.#environment.mayExclude && headers.has("x-envoy-immediate-health-check-fail"))
        this.#environment.host.setFlag(HealthFlag.excludedViaImmediateHcFail);
      return { ...failed, isRetriable: isRetriable(status) };
    }
    if (serviceName !== undefined) {
      this.#environment.countVerifyCluster();
      if (!serviceName(headers.get("x-envoy-upstream-healthchecked-cluster") ?? "")) return failed;
    }
    if (receive.length > 0 && !matchesPayload(receive, Buffer.concat(this.#body))) return failed;
    return { kind: "success", isDegraded: headers.has("x-envoy-degraded") };
  }
}
