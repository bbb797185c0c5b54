/** `local_reply_config`: how answers that the proxy makes itself are rewritten. */
import type { Random } from "#lib/runtime.ts";
import type { MessageReader } from "#protos/reader.ts";
import type {
  LocalReplyConfig,
  ResponseMapper,
} from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { SubstitutionFormatString } from "#protos/gen/envoy/config/core/v3/substitution_format_string_pb.js";
import { parseBodySource } from "../body-source.ts";
import { parseAccessLogFilter } from "../observability/access-log/filters.ts";
import { formatEnvironment } from "../observability/access-log/format.ts";
import { parseFormatString } from "../observability/access-log/parse.ts";
import type { AccessLogFilterMaker, Format, FormatContext } from "../observability/access-log/types.ts";
import { parseHeaderMutations } from "../router/header-mutations.ts";
import { RegexCache } from "../router/regex.ts";
import type { HeaderMutations } from "../router/types.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import type { HeaderMap } from "./header-map.ts";

/** What a local reply looks like before it is sent; rules may change each part. */
export interface LocalReplyDraft {
  status: number;
  body: string;
  contentType: string;
  /** The body is a line of JSON, with its end. */
  isJsonLine: boolean;
}

export interface LocalReplyRules {
  /** Once a configuration. */
  create(random: Random, snapshot: RuntimeSnapshot | undefined): LocalReplyRewriter;
}

export interface LocalReplyRewriter {
  /** Changes `draft` and `headers` as the first mapper that matches says, then by the body format. */
  rewrite(
    draft: LocalReplyDraft,
    headers: HeaderMap,
    context: FormatContext & { readonly requestHeaders: HeaderMap },
  ): void;
}

/** `SubstitutionFormatString` of a body that the proxy makes itself. */
export interface BodyFormat {
  readonly format: Format;
  readonly contentType: string;
  readonly isJson: boolean;
}

interface Mapper {
  readonly filter: AccessLogFilterMaker;
  readonly status: number | undefined;
  readonly body: string | undefined;
  readonly bodyFormat: BodyFormat | undefined;
  readonly mutations: HeaderMutations | undefined;
}

export function parseLocalReplyConfig(
  reader: MessageReader<LocalReplyConfig> | undefined,
): LocalReplyRules | undefined {
  if (reader === undefined) return undefined;
  const regexes = new RegexCache();
  const mappers = reader.children("mappers").map((mapper) => parseMapper(mapper, regexes));
  const bodyFormat = parseBodyFormat(reader.child("bodyFormat"));
  reader.finish();
  const known = mappers.filter((mapper) => mapper !== undefined);
  return { create: (random, snapshot) => rewriterOf(known, bodyFormat, random, snapshot) };
}

function parseMapper(reader: MessageReader<ResponseMapper>, regexes: RegexCache): Mapper | undefined {
  const filterReader = reader.child("filter");
  if (filterReader === undefined) reader.invalid("filter", "a mapper needs a filter");
  const filter = filterReader === undefined ? undefined : parseAccessLogFilter(filterReader, regexes);
  const status = reader.get("statusCode");
  const body = parseBodySource(reader.child("body"));
  const bodyFormat = parseBodyFormat(reader.child("bodyFormatOverride"));
  const mutations = parseHeaderMutations({
    add: reader.children("headersToAdd"),
    remove: [],
    removeAt: reader.path,
    problems: reader.problems,
  });
  reader.finish();
  return filter === undefined ? undefined : { filter, status, body, bodyFormat, mutations };
}

/** Compiles it; undefined when it is not set or has problems, which are on the reader's list. */
export function parseBodyFormat(reader: MessageReader<SubstitutionFormatString> | undefined): BodyFormat | undefined {
  if (reader === undefined) return undefined;
  const isJson = reader.message.format.case === "jsonFormat";
  const configuredType = reader.message.contentType;
  const make = parseFormatString(reader);
  const format = make?.({ environment: formatEnvironment() });
  if (format !== undefined) reader.problems.push(...format.problems);
  if (format?.value === undefined) return undefined;
  const contentType = configuredType !== "" ? configuredType : isJson ? "application/json" : "text/plain";
  return { format: format.value, contentType, isJson };
}

function rewriterOf(
  mappers: readonly Mapper[],
  bodyFormat: BodyFormat | undefined,
  random: Random,
  snapshot: RuntimeSnapshot | undefined,
): LocalReplyRewriter {
  const filters = mappers.map((mapper) => mapper.filter(random, snapshot));
  return {
    rewrite(draft, headers, context) {
      const mapper = mappers[filters.findIndex((matches) => matches(context))];
      if (mapper !== undefined) {
        if (mapper.status !== undefined) draft.status = mapper.status;
        if (mapper.body !== undefined) draft.body = mapper.body;
        mapper.mutations?.apply(headers, context);
      }
      const chosen = mapper?.bodyFormat ?? bodyFormat;
      if (chosen === undefined) return;
      draft.body = chosen.format({ ...context, localReplyBody: draft.body });
      draft.contentType = chosen.contentType;
      draft.isJsonLine = chosen.isJson;
    },
  };
}
