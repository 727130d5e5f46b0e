import { type ComponentPropsWithRef, type InputHTMLAttributes, type SelectHTMLAttributes, useId } from "react";

/** The fewest characters of a password, as the API has it. */
export const PASSWORD_LENGTH = 12;

const LABEL = "mb-1.5 block text-sm font-medium text-gold-300";
const CONTROL =
  "block min-h-11 w-full rounded-lg border border-slate-500 bg-slate-900 px-3 py-2 text-sm text-slate-200 placeholder:text-slate-400 aria-invalid:border-red-400";

interface Common {
  label: string;
  /** Shown below, and read with the field. */
  hint?: string | undefined;
  /** What is wrong with the value. */
  fault?: string | undefined;
}

function useDescription({ hint, fault }: Omit<Common, "label">) {
  const id = useId();
  const text = fault ?? hint;
  return {
    control: {
      id,
      "aria-describedby": text ? `${id}-hint` : undefined,
      "aria-invalid": fault ? true : undefined,
    },
    note: text && (
      <p id={`${id}-hint`} className={`mt-1.5 text-sm ${fault ? "text-red-300" : "text-slate-400"}`}>
        {text}
      </p>
    ),
  };
}

export function Field({ label, hint, fault, className = "", ...rest }: Common & InputHTMLAttributes<HTMLInputElement>) {
  const { control, note } = useDescription({ hint, fault });
  return (
    <div className={className}>
      <label htmlFor={control.id} className={LABEL}>
        {label}
      </label>
      <input {...rest} {...control} className={CONTROL} />
      {note}
    </div>
  );
}

export function TextArea({ label, hint, fault, ...rest }: Common & ComponentPropsWithRef<"textarea">) {
  const { control, note } = useDescription({ hint, fault });
  return (
    <div>
      <label htmlFor={control.id} className={LABEL}>
        {label}
      </label>
      <textarea {...rest} {...control} className={`${CONTROL} font-mono`} />
      {note}
    </div>
  );
}

interface SelectProps<T extends string> extends Common, Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "onSelect" | "value"> {
  value: T;
  options: readonly (readonly [value: T, label: string])[];
  onSelect: (value: T) => void;
}

export function Select<T extends string>({ label, hint, fault, options, onSelect, className = "", ...rest }: SelectProps<T>) {
  const { control, note } = useDescription({ hint, fault });
  return (
    <div className={className}>
      <label htmlFor={control.id} className={LABEL}>
        {label}
      </label>
      <select {...rest} {...control} onChange={(event) => onSelect(event.target.value as T)} className={CONTROL}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      {note}
    </div>
  );
}
