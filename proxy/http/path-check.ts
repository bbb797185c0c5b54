/** The first look at a request's path: put right, or refused (R-92 … R-95). */
import { isGrpcContentType } from "../observability/grpc-status.ts";
import type { NormalizationConfig } from "./connection-manager-config.ts";
import type { ConnectionManagerStats } from "./connection-manager-stats.ts";
import type { LocalReply } from "./filter.ts";
import type { HeaderMap } from "./header-map.ts";
import { normalizePath } from "./path-normalization.ts";

const missingPath: LocalReply = { status: 404, details: "missing_path_rejected" };
const noPath: LocalReply = { status: 404, details: "absolute_path_rejected" };
const badPath: LocalReply = { status: 400, details: "path_normalization_failed" };

/** Normalises `headers.path` in place; the answer when it cannot be. */
export function checkPath(
  headers: HeaderMap,
  config: NormalizationConfig,
  stats: ConnectionManagerStats,
): LocalReply | undefined {
  const { path } = headers;
  if (path === "") return missingPath;
  if (path.charCodeAt(0) !== 47 /* / */) {
    stats.rqNonRelativePath.inc();
    return noPath;
  }
  const normalized = normalizePath(path, config);
  if (normalized === undefined) return undefined;
  if (normalized.kind === "ok") {
    headers.path = normalized.path;
    return undefined;
  }
  if (normalized.kind === "redirect" && !isGrpcContentType(headers.get("content-type"))) {
    stats.rqRedirectedWithNormalizedPath.inc();
    headers.path = normalized.path;
    return { status: 307, details: "path_normalization_failed", headers: [["location", normalized.path]] };
  }
  stats.rqFailedPathNormalization.inc();
  if (normalized.path !== undefined) headers.path = normalized.path;
  return badPath;
}
