/** The rewriting fields of `RouteAction` → functions. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import { typeNameOf } from "#protos/type-url.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { RouteAction } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { UriTemplateRewriteConfig } from "#protos/gen/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite_pb.js";
import { compileHeaderFormat } from "../observability/access-log/format.ts";
import { headerKey } from "./header-matcher.ts";
import { parseRegexRewrite } from "./parse-regex-rewrite.ts";
import { withoutQuery } from "./path-matcher.ts";
import type { RegexCache } from "./regex.ts";
import {
  formatRewrite,
  prefixRewrite,
  regexRewrite,
  templateRewrite,
  type HostRewrite,
  type PathRewrite,
} from "./rewrite.ts";
import type { RouteMatcher } from "./route-match.ts";
import { compileTemplateRewrite } from "./uri-template.ts";

/** The host rewrite, or that it is left to the router because it depends on the chosen host. */
export function parseHostRewrite(
  reader: MessageReader<RouteAction>,
  regexes: RegexCache,
): { readonly rewrite: HostRewrite | undefined; readonly isAuto: boolean } {
  const specifier = reader.get("hostRewriteSpecifier");
  const at = reader.at("hostRewriteSpecifier");
  switch (specifier.case) {
    case "hostRewriteLiteral": {
      const host = byteString(specifier.value);
      return { rewrite: () => host, isAuto: false };
    }
    case "autoHostRewrite":
      return { rewrite: undefined, isAuto: specifier.value.value };
    case "hostRewriteHeader": {
      const name = headerKey(specifier.value);
      return { rewrite: (headers) => headers.get(name), isAuto: false };
    }
    case "hostRewritePathRegex": {
      const replace = parseRegexRewrite(new MessageReader(specifier.value, at, reader.problems), regexes);
      return {
        rewrite: replace === undefined ? undefined : (headers) => replace(withoutQuery(headers.path)),
        isAuto: false,
      };
    }
    case "hostRewrite":
      return { rewrite: compiledFormat(specifier.value, at, reader.problems), isAuto: false };
    default:
      return { rewrite: undefined, isAuto: false };
  }
}

/** A host from a format with command operators; a missing value is `-` here, as in Envoy. */
function compiledFormat(text: string, path: string, problems: Problem[]): HostRewrite | undefined {
  const compiled = compileHeaderFormat(text, { path });
  problems.push(...compiled.problems);
  const format = compiled.value;
  return format === undefined ? undefined : (_headers, context) => format(context);
}

/** At most one of the path rewrites. */
export function parsePathRewrite(
  reader: MessageReader<RouteAction>,
  matcher: RouteMatcher,
  regexes: RegexCache,
): PathRewrite | undefined {
  const prefix = reader.get("prefixRewrite");
  const regex = reader.child("regexRewrite");
  const policy = reader.child("pathRewritePolicy");
  const format = reader.get("pathRewrite");
  if ([prefix !== "", regex !== undefined, policy !== undefined, format !== ""].filter(Boolean).length > 1) {
    reader.invalid(
      "prefixRewrite",
      "only one of prefix_rewrite, regex_rewrite, path_rewrite and path_rewrite_policy may be set",
    );
    return undefined;
  }
  if (prefix !== "") {
    if (matcher.path.kind === "uri-template") {
      reader.invalid("prefixRewrite", "prefix_rewrite can't be used with path_match_policy; use path_rewrite_policy");
      return undefined;
    }
    return prefixRewrite(byteString(prefix), matcher.path);
  }
  if (regex !== undefined) {
    const replace = parseRegexRewrite(regex, regexes);
    return replace === undefined ? undefined : regexRewrite(replace);
  }
  if (format !== "") {
    return parsePathFormat(format, reader.at("pathRewrite"), reader.problems);
  }
  return policy === undefined ? undefined : parseTemplateRewrite(policy, matcher);
}

/** A path from a format with command operators; missing values are empty. */
export function parsePathFormat(text: string, path: string, problems: Problem[]): PathRewrite | undefined {
  const compiled = compileHeaderFormat(text, { path, omitEmptyValues: true });
  problems.push(...compiled.problems);
  return compiled.value === undefined ? undefined : formatRewrite(compiled.value);
}

function parseTemplateRewrite(
  reader: MessageReader<TypedExtensionConfig>,
  matcher: RouteMatcher,
): PathRewrite | undefined {
  const name = reader.get("name");
  const config = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.finish();
  const wanted = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";
  if (config === undefined || typeNameOf(config.typeUrl) !== wanted) {
    reader.unsupported("typedConfig", `the path rewrite policy ${name} is not supported; ${wanted} is`);
    return undefined;
  }
  const opened = unpackAny(config, at);
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return undefined;
  const inner = new MessageReader(opened.value as UriTemplateRewriteConfig, at, reader.problems);
  const rewrite = inner.get("pathTemplateRewrite");
  inner.finish();
  if (matcher.template === undefined) {
    inner.invalid("pathTemplateRewrite", "needs a path_match_policy of the same kind in the match");
    return undefined;
  }
  const compiled = compileTemplateRewrite(rewrite, matcher.template);
  if (typeof compiled !== "string") return templateRewrite(compiled, matcher.template);
  inner.invalid("pathTemplateRewrite", compiled);
  return undefined;
}
