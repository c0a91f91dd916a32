# chatrel: group chat and a follow graph inside PostgreSQL
#
#   make && make install && make installcheck [PG_CONFIG=/path/to/pg_config]
#
# The version stands in chatrel.control alone.

# Where this file is, when building outside the source tree
here := $(dir $(lastword $(MAKEFILE_LIST)))

EXTENSION = chatrel
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(here)chatrel.control)

MODULE_big = chatrel
OBJS = \
	src/channels.o \
	src/chatrel.o \
	src/check.o \
	src/cursor.o \
	src/cursor_seal.o \
	src/cursor_text.o \
	src/events.o \
	src/follow_counters.o \
	src/follow_lists.o \
	src/groups.o \
	src/guc.o \
	src/identity.o \
	src/json.o \
	src/link.o \
	src/link_mirror.o \
	src/link_table.o \
	src/messages.o \
	src/nested.o \
	src/nested_document.o \
	src/nested_params.o \
	src/nested_plans.o \
	src/notify.o \
	src/plans.o \
	src/queue.o \
	src/queue_slots.o \
	src/relationships.o \
	src/relay.o \
	src/sync.o \
	src/whiteboards.o

# The install script is put together of these, in this order: what each part creates, and after
# all of that, from its line "-- privileges" on, what each grants (sql/parts/schema.sql says why).
SQL_PARTS = schema users groups messages relationships delivery receive whiteboards
sql_parts = $(SQL_PARTS:%=$(here)sql/parts/%.sql)
# Outside the source tree it is named in full, or make would take one that it finds in there.
DATA_built = $(if $(filter-out ./,$(here)),$(CURDIR)/)sql/chatrel--$(EXTVERSION).sql

SHLIB_EXPORTS = src/exports.txt
PG_CPPFLAGS = -DCHATREL_VERSION='"$(EXTVERSION)"'

REGRESS = install identity groups messages relationships errors limits security whiteboards link uninstall sync
REGRESS_OPTS = --inputdir=$(srcdir)/test --outputdir=.
ISOLATION = iso_delivery iso_leave_send iso_create_group iso_join iso_delete_user iso_gateway \
	iso_channel_order iso_sync iso_whiteboard iso_follow iso_follow_delete iso_follow_savepoint iso_follow_counters iso_follow_event
ISOLATION_OPTS = --inputdir=$(srcdir)/test --outputdir=. --load-extension=chatrel
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(DATA_built): $(sql_parts) $(here)Makefile
	mkdir -p sql
	awk 'FNR == 1 { of_privileges = 0 } \
		/^-- privileges$$/ { of_privileges = 1; next } \
		of_privileges { privileges = privileges $$0 "\n"; next } \
		{ print } \
		END { printf "%s", privileges }' $(sql_parts) > $@

# A build outside the source tree needs the folder; a change of a header, all objects.
$(OBJS): $(wildcard $(here)src/*.h) | $(CURDIR)/src
$(CURDIR)/src:
	mkdir -p $@
