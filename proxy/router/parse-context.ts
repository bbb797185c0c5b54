/** What parsers of virtual hosts, routes and actions share while one RouteConfiguration is read. */
import type { HeaderMap } from "../http/header-map.ts";
import type { RouteConfigParsers } from "./per-filter-config.ts";
import type { RateLimitEntry } from "./rate-limit-policy.ts";
import type { RegexCache } from "./regex.ts";
import type { RouteLevel } from "./route-level.ts";
import type { HedgePolicy, MirrorPolicy, RetryPolicy } from "./types.ts";

export interface RouteParseContext {
  readonly regexes: RegexCache;
  readonly filters: RouteConfigParsers;
  readonly maxDirectResponseBodyBytes: number;
  readonly mostSpecificWins: boolean;
  readonly level: RouteLevel;
  readonly mirrors: readonly MirrorPolicy[];
  /** Every cluster that is named, with the path of the first place that names it. */
  readonly clusterNames: Map<string, string>;
}

/** What routes take over from their virtual host. */
export interface VirtualHostContext extends RouteParseContext {
  readonly virtualHostName: string;
  readonly virtualHostLevel: RouteLevel;
  readonly retryPolicy: RetryPolicy | undefined;
  readonly hedgePolicy: HedgePolicy | undefined;
  readonly virtualHostMirrors: readonly MirrorPolicy[];
  readonly includeAttemptCountInRequest: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly perRequestBufferLimitBytes: number | undefined;
  readonly rateLimits: readonly RateLimitEntry[];
  readonly virtualCluster: ((headers: HeaderMap) => string) | undefined;
}
