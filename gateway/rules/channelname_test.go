package rules

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckChannel_NamesThatCanBeTold(t *testing.T) {
	for _, name := range []string{"a", "chat:lobby", "@alice", "Größe", "聊天", "שלום", "مرحبا", "नमस्ते", "e\u0301", "🌊", "👩🏽", strings.Repeat("x", 255)} {
		if err := CheckChannel(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckChannel_NamesThatPassForOthers(t *testing.T) {
	for name, character := range map[string]string{
		"zero-width space":       "\u200b",
		"zero-width non-joiner":  "\u200c",
		"zero-width joiner":      "\u200d",
		"left-to-right mark":     "\u200e",
		"right-to-left mark":     "\u200f",
		"Arabic letter mark":     "\u061c",
		"embedding":              "\u202a",
		"override":               "\u202e",
		"isolate":                "\u2066",
		"end of isolate":         "\u2069",
		"word joiner":            "\u2060",
		"invisible times":        "\u2062",
		"byte order mark":        "\ufeff",
		"soft hyphen":            "\u00ad",
		"grapheme joiner":        "\u034f",
		"Hangul filler":          "\u3164",
		"Mongolian separator":    "\u180e",
		"variation selector":     "\ufe0f",
		"variation selector 256": "\U000e01ef",
		"tag":                    "\U000e0061",
		"unassigned, ignorable":  "\U000e0fff",
	} {
		for _, channel := range []string{"news" + character, character + "news", "ne" + character + "ws", PersonalChannel("alice" + character)} {
			var problem *NameError
			if err := CheckChannel(channel); !errors.As(err, &problem) || !strings.Contains(err.Error(), "U+") {
				t.Errorf("%s in %+q: %v, want an error that names the character", name, channel, err)
			}
		}
	}
}
