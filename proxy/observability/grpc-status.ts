/** The gRPC status of a response, for logs and metrics. */
import type { HeaderMap } from "../http/header-map.ts";

const NAMES: readonly string[] = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

/** `Unavailable`; a number without a name is printed as it is. */
export function grpcStatusName(status: number): string {
  return NAMES[status] ?? String(status);
}

/** `INVALID_ARGUMENT`. */
export function grpcStatusSnakeName(status: number): string {
  const name = NAMES[status];
  if (name === undefined) return String(status);
  return name === "OK" ? name : name.replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}

/** True for `application/grpc` and `application/grpc+…`. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  return (
    contentType !== undefined &&
    contentType.startsWith("application/grpc") &&
    (contentType.length === 16 || contentType[16] === "+")
  );
}

/** gRPC's status for an HTTP status that came without one. */
export function grpcStatusFromHttp(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** From trailers, then headers, then the HTTP status; undefined when the text is no number. */
export function grpcStatus(
  trailers: HeaderMap | undefined,
  headers: HeaderMap | undefined,
  httpStatus: number,
): number | undefined {
  const text = trailers?.get("grpc-status") ?? headers?.get("grpc-status");
  if (text === undefined) return grpcStatusFromHttp(httpStatus);
  const status = Number(text);
  return Number.isInteger(status) ? status : undefined;
}
