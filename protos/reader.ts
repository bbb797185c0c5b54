/** Reading a message so that no field is overlooked. */
import { isFieldSet, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { descOf } from "./registry.ts";

/** Names of a message's fields and oneofs as the generated types have them. */
export type FieldName<T extends Message> = Exclude<keyof T & string, "$typeName" | "$unknown">;

/**
 * Reads one message. What is set and was neither read nor ignored on purpose becomes a problem `unsupported-field`
 * that names it, in `finish()`. Submessages get readers of their own.
 */
export class MessageReader<T extends Message> {
  readonly message: T;
  /** snake_case, empty for the whole resource. */
  readonly path: string;
  readonly problems: Problem[];
  readonly #desc: DescMessage;
  readonly #read = new Set<string>();

  constructor(message: T, path: string, problems: Problem[]) {
    this.message = message;
    this.path = path;
    this.problems = problems;
    this.#desc = descOf(message);
  }

  /** The value; the field, or each field of the oneof, counts as read. */
  get<K extends FieldName<T>>(field: K): T[K] {
    this.#read.add(field);
    return this.message[field];
  }

  /** Reads a field that has no effect here on purpose; `why` is for the reader of the code. */
  ignore(field: FieldName<T>, why: string): void {
    void why;
    this.#read.add(field);
  }

  /** Path of a field, or of the field that is set in a oneof, in snake_case. */
  at(field: FieldName<T>): string {
    const name = this.#fieldOf(field)?.name ?? field;
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  /** A reader for a submessage; undefined when it is not set. */
  child<K extends FieldName<T>>(field: K): MessageReader<Extract<T[K], Message>> | undefined {
    const value: unknown = this.get(field);
    if (value === undefined) return undefined;
    return new MessageReader(value as Extract<T[K], Message>, this.at(field), this.problems);
  }

  /** A reader for the message that a oneof holds: `value` is what `get(oneof)` gave. */
  oneof<M extends Message>(field: FieldName<T>, value: M): MessageReader<M> {
    return new MessageReader(value, this.at(field), this.problems);
  }

  /** Readers for the items of a repeated message field, with paths `field[0]`, `field[1]` … */
  children<K extends FieldName<T>>(field: K): MessageReader<Extract<Item<T[K]>, Message>>[] {
    const items = this.get(field) as readonly Extract<Item<T[K]>, Message>[];
    return items.map((item, index) => new MessageReader(item, `${this.at(field)}[${index}]`, this.problems));
  }

  /** Adds a problem `invalid-value` at a field. */
  invalid(field: FieldName<T>, message: string): void {
    this.problems.push({ code: "invalid-value", level: "error", path: this.at(field), message });
  }

  /** Adds a problem `unsupported-field` at a field that was read but whose value is not implemented. */
  unsupported(field: FieldName<T>, message?: string): void {
    this.problems.push({
      code: "unsupported-field",
      level: "error",
      path: this.at(field),
      message: message ?? unsupportedMessage(this.#desc, this.#fieldOf(field)?.name ?? field),
    });
  }

  /** Reports each field that is set and was not read. */
  finish(): void {
    for (const field of this.#desc.fields) {
      if (this.#read.has(field.localName) || (field.oneof !== undefined && this.#read.has(field.oneof.localName)))
        continue;
      if (!isFieldSet(this.message, field)) continue;
      this.problems.push({
        code: "unsupported-field",
        level: "error",
        path: this.path === "" ? field.name : `${this.path}.${field.name}`,
        message: unsupportedMessage(this.#desc, field.name),
      });
    }
  }

  #fieldOf(name: string): DescField | undefined {
    const field = this.#desc.field[name];
    if (field !== undefined) return field;
    const oneof = this.#desc.oneofs.find((candidate) => candidate.localName === name);
    return oneof?.fields.find((candidate) => isFieldSet(this.message, candidate));
  }
}

type Item<V> = V extends readonly (infer I)[] ? I : never;

function unsupportedMessage(desc: DescMessage, name: string): string {
  return `${desc.typeName}.${name} is not supported by this proxy; remove it, or see docs/compatibility.md`;
}
