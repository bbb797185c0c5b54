/** Label selectors, as Kubernetes matches and prints them. */
import { fieldsOf, listOf, stringMapOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";

type Labels = Readonly<Record<string, string>>;

/** `app=a,version=v1`, by name. */
export function selectorText(labels: Labels): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

/** The first label of a selector, in the order in which it is printed. */
export function firstLabel(labels: Labels): string {
  return Object.keys(labels).sort()[0] ?? "";
}

/** A `LabelSelector` of Kubernetes: `matchLabels` and `matchExpressions`; one that is absent selects everything. */
export function matchesLabelSelector(selector: unknown, labels: Labels): boolean {
  if (selector === undefined || selector === null) return true;
  const { matchLabels, matchExpressions } = fieldsOf(selector);
  return (
    Object.entries(stringMapOf(matchLabels)).every(([key, value]) => labels[key] === value) &&
    listOf(matchExpressions)
      .map(fieldsOf)
      .every((expression) => matchesExpression(expression, labels))
  );
}

function matchesExpression(expression: Fields, labels: Labels): boolean {
  const key = stringOf(expression["key"]) ?? "";
  const values = stringsOf(expression["values"]);
  const has = Object.hasOwn(labels, key);
  switch (expression["operator"]) {
    case "In":
      return has && values.includes(labels[key] ?? "");
    case "NotIn":
      return !has || !values.includes(labels[key] ?? "");
    case "Exists":
      return has;
    case "DoesNotExist":
      return !has;
    default:
      return false;
  }
}
