/** What outlier detection knows of one host: runs of failures, success rates, ejections (L-32 … L-34, L-40, L-41). */
import type { UpstreamHost } from "../host.ts";
import type { HostOutlierSink } from "../types.ts";
import type { OutlierConfig } from "./outlier-config.ts";
import type { EjectionType } from "./ejection-type.ts";
import { SuccessRateBucket } from "./success-rate.ts";

export type LocalOriginResult = Parameters<HostOutlierSink["putLocalOrigin"]>[0];

export class HostMonitor implements HostOutlierSink {
  readonly host: UpstreamHost;
  /** Multiplier of the ejection time. */
  backOff = 0;
  ejectedAt = 0;
  returnedAt: number = -Infinity;
  jitterMs = 0;
  numEjections = 0;
  /** Of the last ejection. */
  ejectedBy: EjectionType = "consecutive_5xx";
  /** Percent, for `/clusters`; −1: not known. */
  successRate = -1;
  localOriginSuccessRate = -1;
  readonly #config: OutlierConfig;
  readonly #onConsecutive: (type: EjectionType) => void;
  readonly #external = new SuccessRateBucket();
  readonly #local = new SuccessRateBucket();
  #run5xx = 0;
  #runGateway = 0;
  #runLocalOrigin = 0;

  constructor(host: UpstreamHost, config: OutlierConfig, onConsecutive: (type: EjectionType) => void) {
    this.host = host;
    this.#config = config;
    this.#onConsecutive = onConsecutive;
  }

  putHttpStatus(status: number): void {
    const isFailure = status >= 500 && status < 600;
    this.#external.count(!isFailure);
    if (!isFailure) {
      this.#run5xx = 0;
      this.#runGateway = 0;
      return;
    }
    if (status >= 502 && status <= 504) {
      if (++this.#runGateway === this.#config.consecutiveGatewayFailure) {
        this.#runGateway = 0;
        this.#onConsecutive("consecutive_gateway_failure");
      }
    } else this.#runGateway = 0;
    if (++this.#run5xx === this.#config.consecutive5xx) {
      this.#run5xx = 0;
      this.#onConsecutive("consecutive_5xx");
    }
  }

  /** Without the split, local failures count as the statuses that they become (L-33). */
  putLocalOrigin(result: LocalOriginResult): void {
    if (result === "request-success") {
      this.putHttpStatus(200);
    } else if (this.#config.splitExternalLocalOriginErrors) {
      this.#putSplit(result === "connect-success");
    } else if (result !== "connect-success") {
      this.putHttpStatus(result === "timeout" || result === "connect-timeout" ? 504 : 503);
    }
  }

  /** The last whole interval. */
  bucket(origin: "external" | "local"): SuccessRateBucket {
    return origin === "external" ? this.#external : this.#local;
  }

  setSuccessRate(origin: "external" | "local", rate: number): void {
    if (origin === "external") this.successRate = rate;
    else this.localOriginSuccessRate = rate;
  }

  turn(): void {
    this.#external.turn();
    this.#local.turn();
    this.successRate = -1;
    this.localOriginSuccessRate = -1;
  }

  onEjected(now: number, jitterMs: number, baseMs: number, maxMs: number): void {
    this.ejectedAt = now;
    this.jitterMs = jitterMs;
    this.numEjections++;
    if (this.backOff * baseMs < maxMs + baseMs) this.backOff++;
  }

  onReturn(now: number): void {
    this.returnedAt = now;
    this.#run5xx = 0;
    this.#runGateway = 0;
    this.#runLocalOrigin = 0;
  }

  #putSplit(isSuccess: boolean): void {
    this.#local.count(isSuccess);
    if (isSuccess) {
      this.#runLocalOrigin = 0;
    } else if (++this.#runLocalOrigin === this.#config.consecutiveLocalOriginFailure) {
      this.#runLocalOrigin = 0;
      this.#onConsecutive("consecutive_local_origin_failure");
    }
  }
}
