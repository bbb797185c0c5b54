/** Answers that the proxy makes itself: plain text, or gRPC's way for a gRPC request. */
import { grpcStatusFromHttp, isGrpcContentType } from "../observability/grpc-status.ts";
import type { FormatContext } from "../observability/access-log/types.ts";
import type { LocalReply } from "./filter.ts";
import { HeaderMap } from "./header-map.ts";
import type { LocalReplyDraft, LocalReplyRewriter } from "./local-reply-config.ts";

export interface LocalReplyMessage {
  readonly headers: HeaderMap;
  /** One byte a character. */
  readonly body: string;
}

/** Builds the message; `rewriter` is the configured `local_reply_config`. */
export function localReplyMessage(
  reply: LocalReply,
  request: HeaderMap,
  context: FormatContext,
  rewriter: LocalReplyRewriter | undefined,
  isGrpc: boolean = isGrpcContentType(request.get("content-type")),
): LocalReplyMessage {
  const headers = new HeaderMap();
  const body = reply.body ?? "";
  const draft: LocalReplyDraft = { status: reply.status, body, contentType: "text/plain", isJsonLine: false };
  headers.status = draft.status;
  if (reply.headers !== undefined) for (const [name, value] of reply.headers) headers.add(name, value);
  rewriter?.rewrite(draft, headers, {
    ...context,
    info: context.info,
    requestHeaders: request,
    responseHeaders: headers,
  });
  if (isGrpc) return grpcMessage(draft, headers, reply.grpcStatus);
  headers.status = draft.status;
  if (draft.body !== "") {
    headers.set("content-length", String(draft.body.length));
    if (!headers.has("content-type")) headers.add("content-type", draft.contentType);
  }
  return { headers, body: draft.body };
}

function grpcMessage(draft: LocalReplyDraft, headers: HeaderMap, grpcStatus: number | undefined): LocalReplyMessage {
  headers.status = 200;
  headers.set("content-type", "application/grpc");
  headers.set("grpc-status", String(grpcStatus ?? grpcStatusFromHttp(draft.status)));
  const message = draft.isJsonLine ? draft.body.replace(/\n$/, "") : draft.body;
  if (message !== "") headers.add("grpc-message", percentEncoded(message));
  return { headers, body: "" };
}

/** Everything but printable ASCII, and `%` itself. */
// oxlint-disable-next-line no-control-regex -- controls are among what is encoded
const unprintable = /[\x00-\x1f\x7f-\xff%]/g;

/** gRPC's encoding of a message. */
function percentEncoded(bytes: string): string {
  return bytes.replace(unprintable, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
