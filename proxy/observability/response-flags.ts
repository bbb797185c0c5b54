/** Response flags in print: `URX,UF` and `UpstreamRetryLimitExceeded,UpstreamConnectionFailure`. */
import { ResponseFlag, type ResponseFlagName } from "../stream-info.ts";

/** Short name of each flag, as access logs and metrics print it. */
export const responseFlagShortNames: Readonly<Record<ResponseFlagName, string>> = {
  FailedLocalHealthCheck: "LH",
  NoHealthyUpstream: "UH",
  UpstreamRequestTimeout: "UT",
  LocalReset: "LR",
  UpstreamRemoteReset: "UR",
  UpstreamConnectionFailure: "UF",
  UpstreamConnectionTermination: "UC",
  UpstreamOverflow: "UO",
  NoRouteFound: "NR",
  DelayInjected: "DI",
  FaultInjected: "FI",
  RateLimited: "RL",
  UnauthorizedExternalService: "UAEX",
  RateLimitServiceError: "RLSE",
  DownstreamConnectionTermination: "DC",
  UpstreamRetryLimitExceeded: "URX",
  StreamIdleTimeout: "SI",
  InvalidEnvoyRequestHeaders: "IH",
  DownstreamProtocolError: "DPE",
  UpstreamMaxStreamDurationReached: "UMSDR",
  ResponseFromCacheFilter: "RFCF",
  NoFilterConfigFound: "NFCF",
  DurationTimeout: "DT",
  UpstreamProtocolError: "UPE",
  NoClusterFound: "NC",
  OverloadManager: "OM",
  DnsResolutionFailed: "DF",
  DropOverLoad: "DO",
  DownstreamRemoteReset: "DR",
  UnconditionalDropOverload: "UDO",
};

/** Long names where they are not those of `ResponseFlag`. */
const LONG: Partial<Record<ResponseFlagName, string>> = { OverloadManager: "OverloadManagerTerminated" };

/**
 * Envoy prints flags in the order in which they were set. Those that stand beside others come in this order: faults are
 * injected first, and that retries are used up is noted before the failure of the last attempt.
 */
const FIRST: readonly ResponseFlagName[] = ["DelayInjected", "FaultInjected", "UpstreamRetryLimitExceeded"];

const NAMES: readonly ResponseFlagName[] = [
  ...FIRST,
  ...(Object.keys(ResponseFlag) as ResponseFlagName[]).filter((name) => !FIRST.includes(name)),
];

/** `URX,UF`; `-` for none. */
export function formatResponseFlags(flags: number): string {
  if (flags === 0) return "-";
  return NAMES.filter((name) => (flags & ResponseFlag[name]) !== 0)
    .map((name) => responseFlagShortNames[name])
    .join(",");
}

/** `UpstreamRetryLimitExceeded,UpstreamConnectionFailure`; `-` for none. */
export function formatResponseFlagsLong(flags: number): string {
  if (flags === 0) return "-";
  return NAMES.filter((name) => (flags & ResponseFlag[name]) !== 0)
    .map((name) => LONG[name] ?? name)
    .join(",");
}

/** The bit of a short name (`UF`); undefined when there is no such flag. */
export function responseFlagFromShortName(short: string): number | undefined {
  const name = NAMES.find((candidate) => responseFlagShortNames[candidate] === short);
  return name === undefined ? undefined : ResponseFlag[name];
}
